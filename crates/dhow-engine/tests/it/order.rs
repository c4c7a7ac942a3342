//! Which rollout goes first, which one gives way, and that none waits for another's trouble.

use std::time::Duration;

use dhow_core::port::{Phase, TargetError};
use dhow_core::rollout::Quarantined;

use crate::support::fleet::{page, root, service, site, site_path};
use crate::support::{World, deployment};

const STAGE: &str = "shop/static_file/stage";
const BLOG: &str = "blog/static_file/stage";
const PRODUCTION: &str = "shop/static_file/production";

fn world() -> World {
    let files = [
        root("{ approvals: { needed: 1, from: [alice, bob] } }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        page("shop", "stage", "one"),
        site("shop", "production", "1.0.0"),
        service("blog", "{ semver: '>=0' }"),
        site("blog", "stage", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("blog/web", "1.0.0");
    world.start();
    world.approve("bob", "shop", "production").unwrap();
    world
}

#[test]
fn of_rollouts_that_wait_only_the_newest_is_kept() {
    let mut world = world();
    for text in ["two", "three", "four"] {
        world.push_by("dave", [page("shop", "production", text)]);
        world.settle();
    }
    assert_eq!(
        world.runs(PRODUCTION),
        ["1.0.0 succeeded", "1.0.0 superseded", "1.0.0 superseded", "1.0.0 awaiting_approval"]
    );
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.live(PRODUCTION).len(), 2, "one that was superseded went live");
}

#[test]
fn a_newer_one_that_waits_makes_a_failing_one_go_back_at_once() {
    let mut world = world();
    let check = "checks:\n  - tcp: { port: 1 }\n    limit: 1h\n";
    let (path, text) = site("shop", "stage", "1.1.0");
    world.content_of("shop/web", "1.1.0");
    world.push_by("alice", [(path, format!("{text}{check}"))]);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.phase(STAGE), "checking");
    world.push_by("alice", [site("shop", "stage", "1.2.0")]);
    world.content_of("shop/web", "1.2.0");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 rolled_back", "1.2.0 succeeded"]);
    let quarantined = world.list::<Quarantined>("");
    assert!(quarantined.is_empty(), "its time was not used up, and it is to blame: {quarantined:?}");
    assert_eq!(world.pinned("shop", "stage"), "1.2.0");
}

#[test]
fn a_newer_one_that_waited_before_the_checks_began_makes_a_failing_one_go_back_at_once() {
    let mut world = world();
    let (path, text) = site("shop", "stage", "1.1.0");
    world.content_of("shop/web", "1.1.0");
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.push_by("alice", [(path, format!("{text}checks:\n  - tcp: {{ port: 1 }}\n    limit: 1h\n"))]);
    world.pass(Duration::from_secs(5));
    world.push_by("alice", [site("shop", "stage", "1.2.0")]);
    world.content_of("shop/web", "1.2.0");
    world.pass(Duration::from_secs(5));
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 rolled_back", "1.2.0 succeeded"]);
    assert!(world.list::<Quarantined>("").is_empty());
}

#[test]
fn a_running_one_that_does_not_fail_comes_to_its_end_before_a_newer_one_begins() {
    let mut world = world();
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish("shop/web", "1.1.0");
    world.pass(Duration::from_secs(10));
    world.publish("shop/web", "1.2.0");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 checking", "1.2.0 queued"]);
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 succeeded", "1.2.0 succeeded"]);
}

#[test]
fn a_slow_deployment_holds_up_no_other() {
    let mut world = world();
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.publish("blog/web", "1.1.0");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.phase(STAGE), "checking");
    assert_eq!(world.running(BLOG), "1.1.0");
}

#[test]
fn a_deployment_that_never_succeeds_holds_up_no_other_and_is_told() {
    let mut world = world();
    let passing = TargetError::Passing("its registry answers 503".into());
    world.dock(STAGE).target.fail_in(Some(deployment(STAGE)), Phase::Preparing, passing);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.publish("blog/web", "1.1.0");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.running(BLOG), "1.1.0");
    assert_eq!(world.phase(STAGE), "preparing");
    assert!(world.row(STAGE).reason.unwrap_or_default().contains("503"));
    assert!(world.list::<Quarantined>("").is_empty(), "an innocent version is quarantined");
    world.dock(STAGE).target.heal();
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_comparison_that_hangs_holds_up_no_update() {
    let mut world = world();
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.pass(Duration::from_secs(1));
    world.publish("blog/web", "1.1.0");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.pinned("blog", "stage"), "1.1.0", "the commit waited for another one's comparison");
    // What hangs is given up after a while, and what the commit changed is compared then.
    world.pass(Duration::from_secs(30));
    assert_eq!(world.running(BLOG), "1.1.0");
    assert!(world.row(STAGE).waiting_for.unwrap_or_default().contains("tried again"));
}

#[test]
fn a_downgrade_that_was_not_compared_yet_is_not_undone() {
    let mut world = world();
    world.publish("blog/web", "1.1.0");
    world.settle();
    assert_eq!(world.pinned("blog", "stage"), "1.1.0");
    // While a comparison hangs, somebody goes back by hand, and an update of another service reads the new head.
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.pass(Duration::from_secs(1));
    world.push_by("bob", [site("blog", "stage", "1.0.0")]);
    world.publish("shop/web", "1.1.0");
    world.pass(Duration::from_secs(3));
    world.nudge("blog/web");
    world.pass(Duration::from_secs(3));
    assert_eq!(world.pinned("blog", "stage"), "1.0.0", "a person's commit was undone before it was compared");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.pinned("blog", "stage"), "1.0.0");
    assert_eq!(world.running(BLOG), "1.0.0");
}

/// Services that are new at one place, and whose creation takes its time.
const NEW: [&str; 5] = ["a", "b", "c", "d", "e"];

fn with_slow_creations() -> World {
    let mut world = world();
    let mut files = Vec::new();
    for name in NEW {
        world.publish(&format!("{name}/web"), "1.0.0");
        world.dock(STAGE).slow_down(deployment(&format!("{name}/static_file/stage")));
        files.extend([service(name, "{ semver: '>=0' }"), site(name, "stage", "1.0.0")]);
    }
    world.push_by("alice", files);
    world.settle();
    world
}

#[test]
fn four_are_created_at_a_time_at_a_place_and_the_next_when_one_is_done() {
    let mut world = with_slow_creations();
    let ids = NEW.map(|name| format!("{name}/static_file/stage"));
    let created = |world: &mut World| {
        ids.iter().filter(|id| world.phase(id) == "checking").cloned().collect::<Vec<_>>()
    };
    let first = created(&mut world);
    assert_eq!(first.len(), 4);
    world.dock(STAGE).let_go(&deployment(&first[0]));
    world.settle();
    assert_eq!(world.running(&first[0]), "1.0.0");
    assert_eq!(created(&mut world).len(), 4);
}

#[test]
fn slow_creations_hold_up_no_update() {
    let mut world = with_slow_creations();
    world.publish("blog/web", "1.1.0");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.running(BLOG), "1.1.0");
    for name in NEW {
        world.dock(STAGE).let_go(&deployment(&format!("{name}/static_file/stage")));
    }
    world.settle();
    assert!(NEW.iter().all(|n| world.running(&format!("{n}/static_file/stage")) == "1.0.0"));
}

#[test]
fn a_service_waits_within_its_environment_for_those_it_comes_after() {
    let (path, text) = service("blog", "{ semver: '>=0' }");
    let files = [
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        (path, format!("after: [shop]\n{text}")),
        site("blog", "stage", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("blog/web", "1.0.0");
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.start();
    assert_eq!(world.running(BLOG), "");
    assert!(world.waits(BLOG).contains(STAGE), "{}", world.waits(BLOG));
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert_eq!(world.running(BLOG), "1.0.0");
    assert_eq!(world.waits(BLOG), "");
}

#[test]
fn changing_who_must_agree_rolls_out_nothing() {
    let mut world = world();
    let (path, text) = service("shop", "{ semver: '>=1' }");
    world.push_by(
        "alice",
        [(path, format!("owners: [bob]\n{text}")), root("{ approvals: { needed: 2, from: [alice, bob] } }")],
    );
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 1);
    assert_eq!(world.runs(PRODUCTION).len(), 1);
    assert!(world.head(&site_path("shop", "stage")).contains("1.0.0"));
}
