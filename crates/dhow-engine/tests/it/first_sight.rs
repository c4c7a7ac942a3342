//! First sight: nothing that runs is changed.

use crate::support::World;
use crate::support::fleet::{page, root, service, site};
use dhow_core::rollout::{Event, Health};

const STAGE: &str = "shop/static_file/stage";

fn running() -> World {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        page("shop", "stage", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    assert_eq!(world.phase(STAGE), "succeeded");
    world
}

#[test]
fn what_does_not_run_at_all_is_created() {
    let world = running();
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded"]);
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.row(STAGE).health, Health::Healthy);
}

#[test]
fn a_fleet_that_already_runs_is_adopted_without_a_rollout() {
    let mut world = running();
    world.lose_database();
    assert_eq!(world.phase(STAGE), "adopted");
    assert_eq!(world.runs(STAGE), Vec::<String>::new());
    assert_eq!(world.live(STAGE).len(), 1, "what ran was touched");
    assert_eq!(world.told(|e| matches!(e, Event::Adopted { .. })), 1);
    assert_eq!(world.row(STAGE).health, Health::Healthy);
    world.restart();
    assert_eq!(world.told(|e| matches!(e, Event::Adopted { .. })), 1, "adopted again after a restart");
}

#[test]
fn what_was_adopted_follows_the_fleet_from_then_on_and_can_go_back() {
    let mut world = running();
    world.lose_database();
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    world.publish_broken("shop/web", "1.2.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.pinned("shop", "stage"), "1.1.0");
}

#[test]
fn a_version_that_fails_after_an_adoption_goes_back_to_what_was_adopted() {
    let mut world = running();
    world.lose_database();
    world.publish_broken("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    assert_eq!(world.phase(STAGE), "rolled_back");
}

/// It runs, the database is lost, and the fleet says something else meanwhile.
fn differing() -> World {
    let mut world = running();
    world.kill();
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.lose_database();
    world
}

#[test]
fn what_runs_and_differs_stalls_with_its_plan_until_sync() {
    let mut world = differing();
    assert_eq!(world.phase(STAGE), "stalled");
    assert!(world.waits(STAGE).contains("dhow sync shop stage"), "{}", world.waits(STAGE));
    let plan = world
        .ask(async |e| e.plan(&crate::support::name("shop"), &crate::support::place("stage")).await)
        .unwrap();
    assert!(!plan[0].steps.is_empty(), "it says nothing of what it would do");
    world.restart();
    assert_eq!(world.live(STAGE).len(), 1, "what ran was changed");
    world.sync("alice", "shop", "stage").unwrap();
    assert_eq!(world.phase(STAGE), "succeeded");
    assert_eq!(world.live(STAGE).len(), 2);
}

#[test]
fn what_runs_and_differs_goes_on_by_a_later_commit_that_changes_it() {
    let mut world = differing();
    world.push_by("alice", [page("shop", "stage", "three")]);
    world.settle();
    assert_eq!(world.phase(STAGE), "succeeded");
    assert_eq!(world.live(STAGE).len(), 2);
}

#[test]
fn a_first_commit_that_appears_later_is_created() {
    let mut world = running();
    world.publish("blog/web", "1.0.0");
    world.push_by("alice", [service("blog", "{ semver: '>=0' }"), site("blog", "stage", "1.0.0")]);
    world.settle();
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
}

#[test]
fn a_version_that_is_not_set_is_set_by_the_first_update() {
    let file = crate::support::fleet::site_path("shop", "stage");
    let mut world =
        World::new([service("shop", "{ semver: '>=0' }"), (file, "bundle: r.test/shop/web\n".into())]);
    world.start();
    assert!(world.waits(STAGE).contains("first version"), "{}", world.waits(STAGE));
    world.publish("shop/web", "1.0.0");
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.waits(STAGE), "");
}

#[test]
fn with_an_empty_database_places_that_saw_many_starts_are_still_served() {
    let mut world = running();
    for _ in 0..3 {
        world.restart();
    }
    world.lose_database();
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0", "the place took the new epoch for an old one");
}
