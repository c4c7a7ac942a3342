//! Going back by itself: what ran before runs again, and the fleet says so.

use dhow_core::rollout::{Health, Hold, Quarantined};
use dhow_engine::command::RollbackTo;

use crate::support::fleet::{image_service, page, root, service, site, stack, stack_path};
use crate::support::{BROKEN, World, actor, deployment, name, place, tag_in};

const STAGE: &str = "shop/static_file/stage";
const BLOG: &str = "blog/static_file/stage";

fn two() -> World {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '1.x' }"),
        site("shop", "stage", "1.0.0"),
        page("shop", "stage", "one"),
        service("blog", "{ semver: '>=0' }"),
        site("blog", "stage", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("blog/web", "1.0.0");
    world.start();
    world
}

#[test]
fn a_version_that_fails_goes_back_in_the_fleet_too() {
    let mut world = two();
    world.publish_broken("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.phase(STAGE), "rolled_back");
    assert_eq!(world.live(STAGE), ["1.0.0"], "a broken version went live");
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 rolled_back"]);
    assert_eq!(world.own_commits().len(), 2, "{:?}", world.own_commits());
    assert_eq!(world.row(STAGE).health, Health::Healthy);
    assert!(world.list::<Hold>("").is_empty(), "the hold outlived the edit");
    world.restart();
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 2, "it was tried again");
    assert_eq!(world.own_commits().len(), 2);
}

#[test]
fn a_rollback_in_the_middle_of_a_group_commit_touches_one_service() {
    let mut world = two();
    world.publish_broken("shop/web", "1.1.0");
    world.publish("blog/web", "1.1.0");
    world.settle();
    assert_eq!(
        world.own_commits(),
        ["update 2 services", "shop stage: web 1.0.0 (rolled back)"],
        "the versions were not one commit, or the way back was not one"
    );
    assert_eq!(
        (world.pinned("shop", "stage"), world.pinned("blog", "stage")),
        ("1.0.0".into(), "1.1.0".into())
    );
    assert_eq!((world.running(STAGE), world.running(BLOG)), ("1.0.0".into(), "1.1.0".into()));
    assert_eq!(world.runs(BLOG), ["1.0.0 succeeded", "1.1.0 succeeded"]);
}

#[test]
fn one_that_fails_after_it_went_live_goes_back_too() {
    let mut world = two();
    world.dock(STAGE).fail_verifying(deployment(STAGE));
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.live(STAGE), ["1.0.0", "1.1.0"]);
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
}

#[test]
fn several_failures_in_a_row_end_at_the_last_healthy_version() {
    let mut world = two();
    for tag in ["1.1.0", "1.2.0", "1.3.0"] {
        world.publish_broken("shop/web", tag);
        world.settle();
        assert_eq!(world.pinned("shop", "stage"), "1.0.0", "after {tag}");
        assert_eq!(world.running(STAGE), "1.0.0");
    }
    world.publish("shop/web", "1.4.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.4.0");
    assert_eq!(world.pinned("shop", "stage"), "1.4.0");
    assert!(world.list::<Hold>("").is_empty());
}

#[test]
fn a_failing_version_beside_a_failing_edit_back_is_restored_once_the_fleet_can_be_reached() {
    let mut world = two();
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish_broken("shop/web", "1.1.0");
    world.settle();
    world.fleet.set_reachable(false);
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert_eq!(world.phase(STAGE), "rolled_back", "the edit held up the rollback");
    world.restart();
    assert_eq!(world.pinned("shop", "stage"), "1.1.0");
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    assert_eq!(world.runs(STAGE).len(), 2);
    assert!(world.list::<Hold>("").is_empty());
}

#[test]
fn a_version_pinned_by_a_person_while_an_older_one_fails_is_not_overwritten() {
    let mut world = two();
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish_broken("shop/web", "1.1.0");
    world.pass(std::time::Duration::from_secs(5));
    assert_eq!(world.pinned("shop", "stage"), "1.1.0");
    let pinned = world.content_of("shop/web", "1.2.0");
    world.push_by("alice", [site("shop", "stage", "1.2.0")]);
    world.pass(std::time::Duration::from_secs(5));
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "1.2.0", "a person's word was overwritten");
    assert_eq!(world.running(STAGE), "1.2.0");
    assert!(world.list::<Quarantined>("").iter().all(|q| q.pin.digest != pinned));
    assert_eq!(world.own_commits().len(), 1, "{:?}", world.own_commits());
}

#[test]
fn with_no_healthy_release_the_candidate_goes_and_the_next_version_is_tried() {
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=0' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    world.publish_broken("shop/web", "1.0.0");
    world.start();
    assert_eq!(world.phase(STAGE), "stalled");
    assert_eq!(world.row(STAGE).health, Health::Missing);
    assert_eq!(world.pinned("shop", "stage"), "1.0.0", "Git was edited");
    assert!(world.releases_there(STAGE).is_empty(), "the candidate was left behind");
    world.restart();
    assert_eq!(world.runs(STAGE), ["1.0.0 stalled"]);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.phase(STAGE), "succeeded");
}

#[test]
fn where_only_files_changed_and_fail_nothing_is_quarantined_and_it_waits_for_other_files() {
    let mut world = two();
    world.push_by("alice", [page("shop", "stage", BROKEN)]);
    world.settle();
    assert_eq!(world.phase(STAGE), "stalled");
    assert_eq!(world.live(STAGE).len(), 1);
    assert!(world.list::<Quarantined>("").is_empty());
    assert_eq!(world.own_commits(), Vec::<String>::new(), "a person's file was edited");
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.restart();
    assert_eq!(world.pinned("shop", "stage"), "1.0.0", "an update did not wait for other files");
    assert_eq!(world.runs(STAGE).len(), 2, "what failed was tried again");
    world.push_by("alice", [page("shop", "stage", "mended")]);
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.phase(STAGE), "succeeded");
    assert_eq!(world.waits(STAGE), "");
}

#[test]
fn files_that_fail_and_are_put_back_as_they_were_need_no_rollout() {
    let mut world = two();
    world.push_by("alice", [page("shop", "stage", BROKEN)]);
    world.settle();
    world.push_by("alice", [page("shop", "stage", "one")]);
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 2);
    assert_eq!(world.waits(STAGE), "");
    assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn where_files_and_versions_changed_and_fail_it_is_held_until_the_files_change() {
    let mut world = two();
    world.content_of("shop/web", "1.1.0");
    world.push_by("alice", [page("shop", "stage", BROKEN), site("shop", "stage", "1.1.0")]);
    world.settle();
    world.restart();
    assert_eq!(world.phase(STAGE), "stalled");
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.live(STAGE).len(), 1);
    assert_eq!(
        world.runs(STAGE).len(),
        2,
        "the old version with the new files was rolled out: {:?}",
        world.runs(STAGE)
    );
    world.publish("shop/web", "1.2.0");
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 2, "an update did not wait for other files");
    world.push_by("alice", [page("shop", "stage", "mended")]);
    world.settle();
    assert_eq!(world.running(STAGE), "1.2.0");
    assert_eq!(world.phase(STAGE), "succeeded");
}

const COMPOSE: &str = "app/compose/stage";
const SWARM: &str = "app/swarm/stage";

/// One service, two types in one environment.
fn pair() -> World {
    pair_under("{ semver: '>=0' }")
}

fn pair_under(policy: &str) -> World {
    let files = [
        root("{ update: commit }"),
        image_service("app", policy),
        stack("app", "compose", "stage", "1.0.0"),
        stack("app", "swarm", "stage", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("app/api", "1.0.0");
    world.start();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.0.0".into(), "1.0.0".into()));
    world
}

fn pinned(world: &World, kind: &str) -> String {
    tag_in(&world.head(&stack_path("app", kind, "stage")), "r.test/app/api:")
}

#[test]
fn a_service_with_two_types_in_one_environment_moves_together() {
    let mut world = pair();
    world.publish("app/api", "1.1.0");
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!((pinned(&world, "compose"), pinned(&world, "swarm")), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!(world.own_commits().len(), 1);
}

#[test]
fn a_service_with_two_types_goes_back_together_whichever_fails() {
    for (fails, other) in [(SWARM, COMPOSE), (COMPOSE, SWARM)] {
        let mut world = pair();
        let digest = dhow_core::noun::Digest::of(b"app/api:1.1.0");
        world.dock(fails).break_version(Some(deployment(fails)), digest);
        world.publish("app/api", "1.1.0");
        world.settle();
        assert_eq!((world.running(fails), world.running(other)), ("1.0.0".into(), "1.0.0".into()));
        assert_eq!(world.phase(fails), "rolled_back", "a version in a file was taken for another file");
        assert_eq!((pinned(&world, "compose"), pinned(&world, "swarm")), ("1.0.0".into(), "1.0.0".into()));
        assert_eq!(world.own_commits().len(), 2, "{:?}", world.own_commits());
        assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
        world.publish("app/api", "1.2.0");
        world.settle();
        assert_eq!((world.running(fails), world.running(other)), ("1.2.0".into(), "1.2.0".into()));
    }
}

#[test]
fn a_person_brings_two_types_back_from_different_versions_in_the_fleet_too() {
    let mut world = pair_under("{ semver: '>=1.3' }");
    for tag in ["1.1.0", "1.2.0"] {
        world.content_of("app/api", tag);
    }
    world
        .push_by("bob", [stack("app", "compose", "stage", "1.1.0"), stack("app", "swarm", "stage", "1.2.0")]);
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.1.0".into(), "1.2.0".into()));
    world.rollback("alice", "app", "stage", "1.0.0").unwrap();
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!((pinned(&world, "compose"), pinned(&world, "swarm")), ("1.0.0".into(), "1.0.0".into()));
    world.publish("app/api", "1.3.0");
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.3.0".into(), "1.3.0".into()));
}

#[test]
fn one_of_two_types_that_fails_late_takes_the_other_back_with_it() {
    let mut world = pair();
    let digest = dhow_core::noun::Digest::of(b"app/api:1.1.0");
    world.dock(SWARM).break_version(Some(deployment(SWARM)), digest);
    world.dock(SWARM).slow_down(deployment(SWARM));
    world.publish("app/api", "1.1.0");
    world.settle();
    assert_eq!(world.phase(COMPOSE), "succeeded");
    world.dock(SWARM).let_go(&deployment(SWARM));
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!((pinned(&world, "compose"), pinned(&world, "swarm")), ("1.0.0".into(), "1.0.0".into()));
    assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
}

#[test]
fn a_person_who_goes_back_from_other_files_reads_why_the_fleet_says_something_else() {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        page("shop", "stage", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.settle();
    let (bob, shop, stage) = (actor("bob"), name("shop"), place("stage"));
    world.ask(async |e| e.rollback(&bob, &shop, &stage, &RollbackTo::Previous).await).unwrap();
    let row = world.row(STAGE);
    assert_ne!(row.running, row.desired);
    let waits = world.waits(STAGE);
    assert!(waits.contains("rolled back by bob") && waits.contains("dhow resume shop stage"), "{waits}");
    world.resume("bob", "shop", "stage").unwrap();
    assert_eq!((world.row(STAGE).running, world.waits(STAGE)), (row.desired, String::new()));
}

#[test]
fn going_back_that_is_asked_for_again_goes_no_further_and_a_name_does() {
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=0' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    for version in ["2.0.0", "3.0.0"] {
        world.publish("shop/web", version);
        world.nudge("shop/web");
        world.settle();
        assert_eq!(world.running(STAGE), version);
    }
    let back = |world: &mut World, who: &str, to: RollbackTo| {
        let (who, shop, stage) = (actor(who), name("shop"), place("stage"));
        world.ask(async |e| e.rollback(&who, &shop, &stage, &to).await).unwrap().message
    };
    back(&mut world, "bob", RollbackTo::Previous);
    assert_eq!(world.running(STAGE), "2.0.0");
    for who in ["bob", "alice"] {
        let told = back(&mut world, who, RollbackTo::Previous);
        assert_eq!(world.running(STAGE), "2.0.0", "{who} asked again");
        assert!(told.contains("already back") && told.contains("--to"), "{told}");
    }
    back(&mut world, "bob", RollbackTo::Version("1.0.0".into()));
    assert_eq!(world.running(STAGE), "1.0.0");
    // What is newer lifts the hold; from it, the way back is a new one.
    world.publish("shop/web", "4.0.0");
    world.nudge("shop/web");
    world.settle();
    assert_eq!(world.running(STAGE), "4.0.0");
    back(&mut world, "bob", RollbackTo::Previous);
    assert_eq!(world.running(STAGE), "1.0.0");
}
