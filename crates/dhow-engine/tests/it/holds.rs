//! Going back by command, holds, and what lifts them.

use dhow_core::rollout::{Event, Hold};

use crate::support::fleet::{page, root, service, site, site_path};
use crate::support::{World, deployment};

const STAGE: &str = "shop/static_file/stage";

/// A shop on stage that ran these versions one after another, and runs the last.
pub fn at(tags: &[&str]) -> World {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", tags[0]),
        page("shop", "stage", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", tags[0]);
    world.start();
    for tag in &tags[1..] {
        world.publish("shop/web", tag);
        world.settle();
    }
    assert_eq!(world.running(STAGE), tags[tags.len() - 1]);
    world
}

#[test]
fn after_a_rollback_from_v3_to_v1_the_policy_picks_neither_v2_nor_v3() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    world.settle();
    let holds = world.ask(async |e| e.status(None).await).unwrap().holds;
    assert!(
        holds[0].reason.contains("alice") && holds[0].reason.contains("`dhow resume shop stage`"),
        "{holds:?}"
    );
    world.restart();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
    world.publish("shop/web", "2.5.0");
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "1.0.0", "something up to the version left was selected");
    world.publish("shop/web", "4.0.0");
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("4.0.0".into(), "4.0.0".into()));
    assert!(world.list::<Hold>("").is_empty(), "a newer version did not lift the hold");
}

#[test]
fn resume_lifts_the_hold_of_a_rollback() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.resume("alice", "shop", "stage").unwrap();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("3.0.0".into(), "3.0.0".into()));
}

#[test]
fn a_rollback_happens_once_and_is_one_commit() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    let before = world.own_commits().len();
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(world.own_commits().len(), before + 1);
    assert_eq!(world.runs(STAGE)[3..], ["1.0.0 succeeded"]);
}

#[test]
fn a_rollback_runs_although_the_fleet_cannot_be_reached() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.fleet.set_reachable(false);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(world.running(STAGE), "1.0.0");
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
}

#[test]
fn who_goes_on_again_before_the_way_back_was_written_finds_the_fleet_as_it_runs() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.fleet.set_reachable(false);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.rollback("alice", "shop", "stage", "2.0.0").unwrap();
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("2.0.0".into(), "2.0.0".into()));
    world.publish("shop/web", "3.0.0");
    world.settle();
    assert_eq!(world.running(STAGE), "3.0.0");
    assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
}

#[test]
fn who_resumes_before_what_was_cancelled_has_turned_round_gets_it() {
    let mut world = at(&["1.0.0"]);
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish("shop/web", "2.0.0");
    world.settle();
    world.fleet.set_reachable(false);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.resume("alice", "shop", "stage").unwrap();
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("2.0.0".into(), "2.0.0".into()));
    assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
}

#[test]
fn a_rollback_to_what_cannot_be_had_is_refused_and_holds_nothing() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    let error = world.rollback("alice", "shop", "stage", "0.9.0").unwrap_err().to_string();
    assert!(error.contains("1.0.0"), "it does not say what can be restored: {error}");
    assert!(world.list::<Hold>("").is_empty());
    assert_eq!(world.running(STAGE), "2.0.0");
}

#[test]
fn a_rollback_of_files_holds_what_the_fleet_says_until_it_says_something_else() {
    let mut world = at(&["1.0.0"]);
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.settle();
    let first = world.list::<dhow_core::rollout::Release>(STAGE);
    let first = first.iter().min_by_key(|r| r.healthy_at_ms).unwrap().hash;
    world.rollback("alice", "shop", "stage", &first.to_string()).unwrap();
    assert_eq!(world.row(STAGE).running, Some(first));
    world.restart();
    assert_eq!(world.row(STAGE).running, Some(first), "what was left was rolled out again");
    world.push_by("alice", [page("shop", "stage", "three")]);
    world.settle();
    assert_eq!(world.phase(STAGE), "succeeded");
    assert_eq!(world.row(STAGE).running, world.row(STAGE).desired);
}

#[test]
fn a_persons_commit_that_lowers_a_version_holds_the_policy() {
    let mut world = at(&["1.0.0", "1.1.0", "1.2.0"]);
    world.push_by("alice", [site("shop", "stage", "1.1.0")]);
    world.settle();
    world.restart();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
    world.publish("shop/web", "1.3.0");
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.3.0".into(), "1.3.0".into()));
    assert!(world.list::<Hold>("").is_empty());
}

#[test]
fn a_lowering_that_happened_while_dhow_was_down_holds_the_policy_too() {
    let mut world = at(&["1.0.0", "1.1.0"]);
    world.kill();
    world.push_by("alice", [site("shop", "stage", "1.0.0")]);
    world.start();
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
}

#[test]
fn a_lowering_that_cannot_be_told_yet_is_not_overwritten_and_holds_the_policy_once_it_is() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.push_by("Bob Smith", [site("shop", "stage", "2.0.0")]);
    world.settle();
    let waits = "it waits until it can be told what shop/static_file/stage should run: no answer within 10 s";
    let told = |event: &Event| matches!(event, Event::UpdateFailed { reason, .. } if reason == waits);
    assert_eq!(world.told(told), 1);
    world.fleet.set_reachable(false);
    world.kill();
    world.start();
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("3.0.0".into(), "2.0.0".into()));
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("2.0.0".into(), "2.0.0".into()));
    world.publish("shop/web", "4.0.0");
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("4.0.0".into(), "4.0.0".into()));
}

#[test]
fn a_version_that_is_not_in_its_registry_gives_way_to_one_that_is() {
    let mut world = at(&["1.0.0"]);
    world.push_by("bob", [(site_path("shop", "stage"), "bundle: r.test/shop/web:1.0.1x\n".to_owned())]);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
}

#[test]
fn resume_lifts_the_hold_of_a_lowered_version() {
    let mut world = at(&["1.0.0", "1.1.0"]);
    world.push_by("alice", [site("shop", "stage", "1.0.0")]);
    world.settle();
    world.resume("alice", "shop", "stage").unwrap();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
}

#[test]
fn the_way_back_of_a_failed_version_is_not_taken_for_a_persons_lowering() {
    let mut world = at(&["1.0.0"]);
    world.publish_broken("shop/web", "1.2.0");
    world.settle();
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0", "the next acceptable version was held back");
}

#[test]
fn resume_of_what_is_not_held_says_so() {
    let mut world = at(&["1.0.0"]);
    world.resume("alice", "shop", "stage").unwrap_err();
}
