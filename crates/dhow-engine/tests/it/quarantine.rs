//! Quarantine: what failed is not selected here, nor in those promoted from here.

use dhow_core::noun::Digest;
use dhow_core::rollout::Quarantined;

use crate::support::fleet::{image_service, root, service, site, site_path, stack, stack_path};
use crate::support::{BROKEN, File, World, actor, deployment, name, place, tag_in};

const STAGE: &str = "shop/static_file/stage";
const PRODUCTION: &str = "shop/static_file/production";

fn stage() -> World {
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=0' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world
}

#[test]
fn select_takes_the_next_acceptable_version() {
    let mut world = stage();
    world.kill();
    world.publish("shop/web", "1.1.0");
    world.publish_broken("shop/web", "1.2.0");
    world.start();
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.2.0 rolled_back", "1.1.0 succeeded"]);
}

#[test]
fn only_what_changed_is_quarantined() {
    let mut world = stage();
    let broken = world.publish_broken("shop/web", "1.1.0");
    world.settle();
    let quarantined = world.list::<Quarantined>("");
    assert_eq!(quarantined.iter().map(|q| q.pin.digest).collect::<Vec<_>>(), [broken]);
}

#[test]
fn what_leaves_quarantine_is_selected_again() {
    let mut world = stage();
    let digest = world.publish_broken("shop/web", "1.1.0");
    world.settle();
    world.dock(STAGE).mend_version(digest);
    let reference = format!("r.test/shop/web:1.1.0@{digest}").parse().unwrap();
    world
        .ask(async |e| e.quarantine_remove(&actor("alice"), &name("shop"), &place("stage"), &reference).await)
        .unwrap();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
}

#[test]
fn what_runs_and_leaves_quarantine_is_gone_back_to_in_the_fleet_too() {
    // A policy that takes neither again by itself.
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=9' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    let first = world.publish("shop/web", "1.0.0");
    world.start();
    let reference = format!("r.test/shop/web:1.0.0@{first}").parse().unwrap();
    let (alice, shop, stage) = (actor("alice"), name("shop"), place("stage"));
    world.ask(async |e| e.quarantine_add(&alice, &shop, &stage, &reference, "it leaks").await).unwrap();
    world.publish_broken("shop/web", "2.0.0");
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "2.0.0".into()));
    assert!(world.waits(STAGE).contains("`dhow quarantine remove`"), "{}", world.waits(STAGE));
    let freed = world.ask(async |e| e.quarantine_remove(&alice, &shop, &stage, &reference).await).unwrap();
    assert!(freed.message.contains("the fleet goes back to it"), "{}", freed.message);
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!(world.waits(STAGE), "");
}

/// Of two deployments, one runs what is in quarantine and fails with the next; then the other fails with the former.
/// `broken`: what else the first one is given.
fn first_the_next_fails_then_what_runs(broken: &[File]) -> World {
    let [compose, swarm] = ["compose", "swarm"].map(|kind| format!("app/{kind}/stage"));
    let both = |tag: &str| ["compose", "swarm"].map(|kind| stack("app", kind, "stage", tag));
    // A policy that takes none by itself.
    let files = [root("{ update: commit }"), image_service("app", "{ semver: '>=9' }")];
    let mut world = World::new(files.into_iter().chain(both("1.0.0")));
    world.publish("app/api", "1.0.0");
    world.start();
    let second = world.publish("app/api", "2.0.0");
    world.dock(&swarm).break_version(Some(deployment(&swarm)), second);
    world.dock(&swarm).slow_down(deployment(&swarm));
    world.push_by("bob", both("2.0.0"));
    world.settle();
    assert_eq!((world.running(&compose), world.running(&swarm)), ("2.0.0".into(), "1.0.0".into()));
    let (alice, app, stage) = (actor("alice"), name("app"), place("stage"));
    let reference = format!("r.test/app/api:2.0.0@{second}").parse().unwrap();
    world.ask(async |e| e.quarantine_add(&alice, &app, &stage, &reference, "it leaks").await).unwrap();
    world.publish_broken("app/api", "3.0.0");
    world.push_by("bob", both("3.0.0").into_iter().chain(broken.iter().cloned()));
    world.settle();
    assert_eq!((world.running(&compose), stands(&world)), ("2.0.0".into(), "3.0.0".into()));
    world.dock(&swarm).let_go(&deployment(&swarm));
    world.settle();
    world
}

fn stands(world: &World) -> String {
    tag_in(&world.head(&stack_path("app", "compose", "stage")), "r.test/app/api:")
}

#[test]
fn what_failed_leaves_the_fleet_once_what_ran_in_quarantine_gave_way_too() {
    let world = first_the_next_fails_then_what_runs(&[]);
    for id in ["app/compose/stage", "app/swarm/stage"] {
        assert_eq!((world.running(id).as_str(), world.waits(id).as_str()), ("1.0.0", ""), "{id}");
        assert_eq!(world.row(id).desired, world.row(id).running, "{id}");
    }
    assert_eq!(stands(&world), "1.0.0");
}

#[test]
fn files_that_failed_stay_held_once_what_ran_in_quarantine_gave_way_too() {
    let broken = ("services/app/compose/stage/settings.txt".to_owned(), BROKEN.to_owned());
    let compose = "app/compose/stage";
    let mut world = first_the_next_fails_then_what_runs(&[broken]);
    assert_eq!((world.running(compose), stands(&world)), ("1.0.0".into(), "1.0.0".into()));
    let rollouts = world.runs(compose);
    assert_eq!(rollouts.last().map(String::as_str), Some("1.0.0 succeeded"), "{rollouts:?}");
    assert!(world.waits(compose).contains("`dhow resume app stage`"), "{}", world.waits(compose));
    world.push_by("bob", [("services/app/compose/stage/settings.txt".into(), "mended".into())]);
    world.settle();
    assert_eq!((world.row(compose).desired, world.waits(compose)), (world.row(compose).running, "".into()));
}

#[test]
fn a_policy_that_follows_a_tag_keeps_its_pin_until_the_tag_moves_on() {
    let first = Digest::of(b"first");
    let file = (site_path("shop", "stage"), format!("bundle: r.test/shop/web:latest@{first}\n"));
    let mut world = World::new([root("{ update: commit }"), service("shop", "{ digest: latest }"), file]);
    world.publish_content("shop/web", "latest", "first");
    world.start();
    let second = Digest::of(b"second");
    world.dock(STAGE).break_version(None, second);
    world.publish_content("shop/web", "latest", "second");
    world.settle();
    world.settle();
    let head = |world: &World| world.head(&site_path("shop", "stage"));
    assert!(head(&world).contains(&first.to_string()), "{}", head(&world));
    assert_eq!(world.runs(STAGE).len(), 2, "{:?}", world.runs(STAGE));
    world.publish_content("shop/web", "latest", "third");
    world.settle();
    assert!(head(&world).contains(&Digest::of(b"third").to_string()), "{}", head(&world));
    assert_eq!(world.phase(STAGE), "succeeded");
}

/// Production takes what ran healthy on stage, without asking.
fn promoting() -> World {
    let files = [
        root("{ from: stage }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        site("shop", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world.settle();
    assert_eq!(world.running(PRODUCTION), "1.0.0");
    world
}

#[test]
fn a_failure_downstream_changes_nothing_upstream() {
    let mut world = promoting();
    let digest = Digest::of(b"shop/web:1.1.0");
    world.dock(PRODUCTION).break_version(Some(deployment(PRODUCTION)), digest);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!(
        (world.running(PRODUCTION), world.pinned("shop", "production")),
        ("1.0.0".into(), "1.0.0".into())
    );
    assert_eq!(world.runs(PRODUCTION).len(), 2, "it was promoted again: {:?}", world.runs(PRODUCTION));
    let quarantined = world.list::<Quarantined>("");
    assert!(quarantined.iter().all(|q| q.environment == place("production")), "{quarantined:?}");
}

#[test]
fn what_failed_upstream_is_not_promoted_although_it_was_healthy_there_before() {
    let mut world = promoting();
    world.push_by("alice", [root("{ from: stage, approvals: { needed: 1, from: [bob] } }")]);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1);
    let reference = "r.test/shop/web:1.1.0".parse().unwrap();
    world
        .ask(async |e| {
            e.quarantine_add(&actor("bob"), &name("shop"), &place("stage"), &reference, "it leaks").await
        })
        .unwrap();
    world.approve("bob", "shop", "production").unwrap_err();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
    assert_eq!(world.running(PRODUCTION), "1.0.0");
}

#[test]
fn what_is_quarantined_after_its_approval_is_not_committed() {
    let mut world = promoting();
    world.push_by("alice", [root("{ from: stage, approvals: { needed: 1, from: [bob] } }")]);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.fleet.set_reachable(false);
    world.approve("bob", "shop", "production").unwrap();
    let reference = "r.test/shop/web:1.1.0".parse().unwrap();
    world
        .ask(async |e| {
            e.quarantine_add(&actor("bob"), &name("shop"), &place("stage"), &reference, "it leaks").await
        })
        .unwrap();
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
}
