//! What failed and stands in the fleet while what ran before was in quarantine too: it leaves the fleet once it can.

use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::port::Place;
use dhow_core::rollout::{Health, Hold, Quarantined};

use crate::support::fleet::{image_service, pinned, root, stack, stack_path};
use crate::support::{BROKEN, File, World, actor, changes, deployment, name, place, tag_in};

const COMPOSE: &str = "app/compose/stage";
const SWARM: &str = "app/swarm/stage";

fn both(tag: &str) -> [File; 2] {
    ["compose", "swarm"].map(|kind| stack("app", kind, "stage", tag))
}

fn settings(kind: &str, text: &str) -> File {
    (format!("services/app/{kind}/stage/settings.txt"), text.into())
}

fn stands(world: &World, kind: &str) -> String {
    tag_in(&world.head(&stack_path("app", kind, "stage")), "r.test/app/api:")
}

fn runs_and_stands(world: &World, id: &str) -> (String, String) {
    (world.running(id), stands(world, id.split('/').nth(1).unwrap()))
}

fn one(tag: &str) -> (String, String) {
    (tag.into(), tag.into())
}

fn quarantine(world: &mut World, tag: &str, digest: Digest) {
    let reference = format!("r.test/app/api:{tag}@{digest}").parse().unwrap();
    let (alice, app, stage) = (actor("alice"), name("app"), place("stage"));
    world.ask(async |e| e.quarantine_add(&alice, &app, &stage, &reference, "it leaks").await).unwrap();
}

fn free(world: &mut World, tag: &str, digest: Digest) -> String {
    let reference = format!("r.test/app/api:{tag}@{digest}").parse().unwrap();
    let (alice, app, stage) = (actor("alice"), name("app"), place("stage"));
    world.ask(async |e| e.quarantine_remove(&alice, &app, &stage, &reference).await).unwrap().message
}

/// Both are given 2.0.0: the first runs it, the second is about to fail with it.
fn is_slow_to_fail_with_the_second(world: &mut World) -> Digest {
    let second = world.publish("app/api", "2.0.0");
    world.dock(SWARM).break_version(Some(deployment(SWARM)), second);
    world.dock(SWARM).slow_down(deployment(SWARM));
    world.push_by("bob", both("2.0.0"));
    world.settle();
    second
}

/// Of two deployments, one runs 2.0.0, and the other is about to fail with it. No version is selected by itself.
fn the_second_runs_in_one() -> (World, Digest) {
    let files = [root("{ update: commit }"), image_service("app", "{ semver: '>=9' }")];
    let mut world = World::new(files.into_iter().chain(both("1.0.0")));
    world.publish("app/api", "1.0.0");
    world.start();
    let second = is_slow_to_fail_with_the_second(&mut world);
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("2.0.0".into(), "1.0.0".into()));
    (world, second)
}

/// Of two deployments, one runs 2.0.0, which is in quarantine, and the other is about to fail with it. `with` comes with a
/// version 3.0.0 that works nowhere, or only not in the first.
fn the_next_failed(with: &[File], nowhere: bool) -> World {
    let (mut world, second) = the_second_runs_in_one();
    quarantine(&mut world, "2.0.0", second);
    let third = world.publish("app/api", "3.0.0");
    world.dock(COMPOSE).break_version((!nowhere).then(|| deployment(COMPOSE)), third);
    if nowhere {
        world.dock(SWARM).break_version(None, third);
    }
    world.push_by("bob", both("3.0.0").into_iter().chain(with.iter().cloned()));
    world.settle();
    assert_eq!(runs_and_stands(&world, COMPOSE), ("2.0.0".into(), "3.0.0".into()));
    world
}

fn let_go(world: &mut World, id: &str) {
    world.dock(id).let_go(&deployment(id));
    world.settle();
}

#[test]
fn what_failed_leaves_the_fleet_once_what_ran_in_quarantine_gave_way_too() {
    let mut world = the_next_failed(&[], true);
    let_go(&mut world, SWARM);
    for id in [COMPOSE, SWARM] {
        assert_eq!((runs_and_stands(&world, id), world.waits(id).as_str()), (one("1.0.0"), ""), "{id}");
        assert_eq!(world.row(id).desired, world.row(id).running, "{id}");
    }
}

#[test]
fn files_that_failed_stay_held_once_what_ran_in_quarantine_gave_way_too() {
    let mut world = the_next_failed(&[settings("compose", BROKEN)], true);
    let_go(&mut world, SWARM);
    assert_eq!(runs_and_stands(&world, COMPOSE), one("1.0.0"));
    let rollouts = world.runs(COMPOSE);
    assert_eq!(rollouts.last().map(String::as_str), Some("1.0.0 succeeded"), "{rollouts:?}");
    let waits = world.waits(COMPOSE);
    assert!(waits.contains("`dhow resume app stage`"), "{waits}");
    assert_eq!(waits.matches("it waits for other files").count(), 1, "{waits}");
    world.push_by("bob", [settings("compose", "mended")]);
    world.settle();
    assert_eq!((world.row(COMPOSE).desired, world.waits(COMPOSE)), (world.row(COMPOSE).running, "".into()));
}

#[test]
fn what_people_pinned_after_the_failure_stays() {
    let mut world = the_next_failed(&[], false);
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let_go(&mut world, SWARM);
    world.push_by("bob", [stack("app", "swarm", "stage", "1.0.0")]);
    world.settle();
    world.push_by("bob", [stack("app", "swarm", "stage", "3.0.0")]);
    world.settle();
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), one("1.0.0"));
    assert_eq!(stands(&world, "swarm"), "3.0.0");
}

#[test]
fn nothing_is_taken_away_where_nobody_can_tell_any_more_who_wrote_it() {
    let mut world = the_next_failed(&[], false);
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let_go(&mut world, SWARM);
    let files = [root("{ update: commit }"), image_service("app", "{ semver: '>=9' }")];
    world.fleet.force_push(changes(files.into_iter().chain(both("3.0.0"))), "bob");
    world.nudge_fleet();
    world.settle();
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), ("1.0.0".into(), "3.0.0".into()));
    assert!(world.waits(COMPOSE).contains("`dhow resume app stage`"), "{}", world.waits(COMPOSE));
}

#[test]
fn an_edit_that_waits_to_go_back_to_what_is_in_quarantine_by_now_goes_further_back() {
    let files = [root("{ update: commit }"), image_service("app", "{ semver: '>=9' }")];
    let sites = [stack("app", "compose", "stage", "0.9.0"), stack("app", "swarm", "stage", "1.0.0")];
    let mut world = World::new(files.into_iter().chain(sites));
    world.publish("app/api", "0.9.0");
    let first = world.publish("app/api", "1.0.0");
    world.start();
    is_slow_to_fail_with_the_second(&mut world);
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.publish_broken("app/api", "3.0.0");
    world.push_by("bob", both("3.0.0"));
    world.settle();
    assert_eq!(runs_and_stands(&world, COMPOSE), ("2.0.0".into(), "3.0.0".into()));
    quarantine(&mut world, "1.0.0", first);
    let_go(&mut world, SWARM);
    assert_eq!(world.running(COMPOSE), "0.9.0");
    let waits = world.waits(COMPOSE);
    assert!(waits.contains("the edit back in the fleet; what it says failed"), "{waits}");
    assert!(!waits.contains("still runs"), "{waits}");
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!((runs_and_stands(&world, COMPOSE), world.waits(COMPOSE).as_str()), (one("0.9.0"), ""));
}

#[test]
fn what_does_not_answer_beside_an_edit_back_holds_up_no_other_service() {
    let mut world = the_next_failed(&[settings("compose", BROKEN)], true);
    world.dock(SWARM).hang_in_render(deployment(SWARM));
    let_go(&mut world, SWARM);
    world.publish("other/api", "1.0.0");
    world.push_by(
        "bob",
        [image_service("other", "{ semver: '>=0' }"), stack("other", "compose", "stage", "1.0.0")],
    );
    world.pass(Duration::from_secs(120));
    assert_eq!(world.running("other/compose/stage"), "1.0.0");
    assert_eq!(world.running(COMPOSE), "1.0.0");
    world.dock(SWARM).render_again(&deployment(SWARM));
}

#[test]
fn what_could_not_be_told_when_the_way_back_was_through_leaves_the_fleet_later() {
    let mut world = the_next_failed(&[], true);
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let_go(&mut world, SWARM);
    world.dock(COMPOSE).hang_in_render(deployment(COMPOSE));
    let (path, policy) = image_service("app", "{ semver: '>=10' }");
    world.push_by("bob", [(path, policy)]);
    world.settle();
    let_go(&mut world, COMPOSE);
    world.dock(COMPOSE).render_again(&deployment(COMPOSE));
    world.settle();
    assert_eq!(runs_and_stands(&world, COMPOSE), one("1.0.0"));
}

#[test]
fn what_was_in_quarantine_when_the_way_back_was_through_and_leaves_it_is_gone_back_to() {
    let mut world = the_next_failed(&[], true);
    let first = Digest::of(b"app/api:1.0.0");
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let_go(&mut world, SWARM);
    quarantine(&mut world, "1.0.0", first);
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), ("1.0.0".into(), "3.0.0".into()));
    let told = free(&mut world, "1.0.0", first);
    assert!(told.contains("the fleet goes back from what failed"), "{told}");
    for id in [COMPOSE, SWARM] {
        assert_eq!((runs_and_stands(&world, id), world.waits(id).as_str()), (one("1.0.0"), ""), "{id}");
    }
}

#[test]
fn where_one_of_two_artifacts_goes_back_files_that_failed_put_no_other_into_quarantine() {
    let two = |kind: &str, api: &str, db: &str| {
        let [api, db] = [("api", api), ("db", db)].map(|(of, tag)| pinned(&format!("app/{of}"), tag));
        (
            stack_path("app", kind, "stage"),
            format!("services:\n  api:\n    image: r.test/{api}\n  db:\n    image: r.test/{db}\n"),
        )
    };
    let service = "artifacts:\n  api: { image: r.test/app/api, policy: { semver: '>=9' } }\n  db: { image: r.test/app/db, policy: { semver: '>=9' } }\n";
    let files = [
        root("{ update: commit }"),
        ("services/app/dhow.yaml".into(), service.into()),
        two("compose", "1.0.0", "1.0.0"),
        two("swarm", "1.0.0", "1.0.0"),
    ];
    let mut world = World::new(files);
    for of in ["api", "db"] {
        world.publish(&format!("app/{of}"), "1.0.0");
    }
    world.start();
    let second = world.publish("app/api", "2.0.0");
    world.publish("app/db", "2.0.0");
    world.push_by("bob", [two("swarm", "1.0.0", "2.0.0")]);
    world.settle();
    world.dock(SWARM).break_version(Some(deployment(SWARM)), second);
    world.dock(SWARM).slow_down(deployment(SWARM));
    world.push_by("bob", [two("compose", "2.0.0", "2.0.0"), two("swarm", "2.0.0", "2.0.0")]);
    world.settle();
    quarantine(&mut world, "2.0.0", second);
    world.publish_broken("app/api", "3.0.0");
    world.push_by(
        "bob",
        [two("compose", "3.0.0", "2.0.0"), two("swarm", "3.0.0", "2.0.0"), settings("compose", BROKEN)],
    );
    world.settle();
    let_go(&mut world, SWARM);
    assert_eq!((world.running(COMPOSE), world.running(SWARM)), ("1.0.0+1.0.0".into(), "1.0.0+2.0.0".into()));
    assert_eq!(stands(&world, "compose"), "1.0.0");
    let waits = world.waits(COMPOSE);
    assert!(waits.contains("it waits for other files"), "{waits}");
    let spent: Vec<String> =
        world.list::<Quarantined>("").iter().map(|q| q.pin.reference().to_string()).collect();
    assert!(!spent.iter().any(|pin| pin.contains("app/db")), "{spent:?}");
}

#[test]
fn files_that_failed_are_held_with_the_version_that_its_failure_elsewhere_leads_to() {
    let (mut world, _) = the_second_runs_in_one();
    world.push_by("bob", [settings("compose", BROKEN)]);
    world.settle();
    assert_eq!(world.phase(COMPOSE), "stalled");
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let_go(&mut world, SWARM);
    assert_eq!(stands(&world, "compose"), "1.0.0");
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), one("1.0.0"));
    let rollouts = world.runs(COMPOSE);
    assert_eq!(rollouts.last().map(String::as_str), Some("1.0.0 succeeded"), "{rollouts:?}");
    assert!(world.waits(COMPOSE).contains("`dhow resume app stage`"), "{}", world.waits(COMPOSE));
}

#[test]
fn a_way_back_that_newer_commits_took_the_place_of_comes_where_they_fail_too() {
    let (mut world, _) = the_second_runs_in_one();
    for tag in ["3.0.0", "4.0.0", "5.0.0"] {
        let digest = world.publish("app/api", tag);
        world.dock(COMPOSE).break_version(Some(deployment(COMPOSE)), digest);
    }
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    world.push_by("bob", [stack("app", "compose", "stage", "3.0.0")]);
    world.settle();
    let_go(&mut world, SWARM);
    assert_eq!((world.running(COMPOSE), world.phase(COMPOSE)), ("2.0.0".into(), "queued".into()));
    for tag in ["4.0.0", "5.0.0"] {
        world.push_by("bob", [stack("app", "compose", "stage", tag)]);
        world.settle();
    }
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), one("1.0.0"), "{:?}", world.runs(COMPOSE));
    assert_eq!(world.waits(COMPOSE), "");
}

#[test]
fn what_gave_way_to_a_way_back_comes_again_after_it() {
    let (mut world, _) = the_second_runs_in_one();
    world.publish("app/api", "3.0.0");
    let check = "checks:\n  - tcp: { port: 1 }\n    limit: 1h\n".to_owned();
    let settings = ("services/app/compose/stage/dhow.yaml".to_owned(), check);
    world.push_by("bob", [stack("app", "compose", "stage", "3.0.0"), settings]);
    world.pass(Duration::from_secs(60));
    assert_eq!((world.running(COMPOSE), world.phase(COMPOSE)), ("2.0.0".into(), "checking".into()));
    world.dock(SWARM).let_go(&deployment(SWARM));
    world.pass(Duration::from_secs(60));
    assert_eq!(world.running(COMPOSE), "1.0.0");
    assert_eq!(world.phase(COMPOSE), "checking", "{:?}", world.runs(COMPOSE));
}

/// One runs 1.0.0, the other 1.1.0, which is in quarantine by now. The next version fails in the other, and the first is slow
/// with it, or not.
fn the_next_fails_in_the_other(slow: bool) -> World {
    let files = [root("{ update: commit }"), image_service("app", "{ semver: '>=9' }")];
    let sites = [stack("app", "compose", "stage", "1.0.0"), stack("app", "swarm", "stage", "1.1.0")];
    let mut world = World::new(files.into_iter().chain(sites));
    world.publish("app/api", "1.0.0");
    let other = world.publish("app/api", "1.1.0");
    world.start();
    quarantine(&mut world, "1.1.0", other);
    let second = world.publish("app/api", "2.0.0");
    world.dock(SWARM).break_version(Some(deployment(SWARM)), second);
    world.dock(if slow { COMPOSE } else { SWARM }).slow_down(deployment(if slow { COMPOSE } else { SWARM }));
    world.push_by("bob", both("2.0.0"));
    world.settle();
    world
}

#[test]
fn what_was_taken_back_as_it_failed_elsewhere_leaves_the_fleet_where_that_cannot_go_back() {
    for slow in [true, false] {
        let mut world = the_next_fails_in_the_other(slow);
        assert_eq!(world.running(COMPOSE), if slow { "1.0.0" } else { "2.0.0" });
        let_go(&mut world, if slow { COMPOSE } else { SWARM });
        for id in [COMPOSE, SWARM] {
            assert_eq!((runs_and_stands(&world, id), world.waits(id).as_str()), (one("1.0.0"), ""), "{id}");
        }
    }
}

#[test]
fn what_a_way_back_took_the_place_of_and_is_in_quarantine_by_now_is_waited_for() {
    let (mut world, _) = the_second_runs_in_one();
    world.dock(COMPOSE).slow_down(deployment(COMPOSE));
    let [_, third] = ["2.5.0", "3.0.0"].map(|tag| {
        let digest = world.publish("app/api", tag);
        world.push_by("bob", [stack("app", "compose", "stage", tag)]);
        world.settle();
        digest
    });
    let_go(&mut world, SWARM);
    quarantine(&mut world, "3.0.0", third);
    let_go(&mut world, COMPOSE);
    assert_eq!(runs_and_stands(&world, COMPOSE), ("1.0.0".into(), "3.0.0".into()));
    let waits = world.waits(COMPOSE);
    assert!(waits.contains("`dhow sync app stage`: r.test/app/api:3.0.0"), "{waits}");
    world.sync("alice", "app", "stage").unwrap();
    assert_eq!((world.running(COMPOSE), world.waits(COMPOSE)), ("3.0.0".into(), "".into()));
}

#[test]
fn what_runs_on_though_it_is_held_is_brought_back_where_somebody_stops_it() {
    let (mut world, _) = the_second_runs_in_one();
    quarantine(&mut world, "1.0.0", Digest::of(b"app/api:1.0.0"));
    let_go(&mut world, SWARM);
    let held = world
        .list::<Hold>("")
        .into_iter()
        .any(|hold| hold.holds(&deployment(COMPOSE), &world.row(COMPOSE).running.unwrap()));
    assert!(held && world.running(COMPOSE) == "2.0.0", "{:?}", world.runs(COMPOSE));
    world.dock(COMPOSE).target.stop_by_hand(&deployment(COMPOSE), &Place::Local);
    world.settle();
    assert_eq!((world.running(COMPOSE), world.row(COMPOSE).health), ("2.0.0".into(), Health::Healthy));
}
