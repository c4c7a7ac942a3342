//! Somebody changes what runs: it is seen, told, and brought back.

use std::time::Duration;

use dhow_core::port::{Phase, Place, TargetError};
use dhow_core::rollout::{Event, Health};

use crate::support::fleet::{image_service, root, stack};
use crate::support::{World, deployment};

const STAGE: &str = "shop/compose/stage";
const PRODUCTION: &str = "shop/compose/production";

fn world() -> World {
    let files = [
        root("{ approvals: { needed: 1, from: [bob] } }"),
        image_service("shop", "{ semver: '>=0' }"),
        stack("shop", "compose", "stage", "1.0.0"),
        stack("shop", "compose", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/api", "1.0.0");
    world.start();
    world.approve("bob", "shop", "production").unwrap();
    world
}

fn stop(world: &World, id: &str) {
    world.dock(id).target.stop_by_hand(&deployment(id), &Place::Local);
}

fn mended(world: &World) -> usize {
    world.told(|event| matches!(event, Event::MendDone { .. }))
}

#[test]
fn what_is_stopped_by_hand_is_brought_back_within_seconds() {
    let mut world = world();
    stop(&world, STAGE);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.row(STAGE).health, Health::Healthy);
    assert_eq!(mended(&world), 1);
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded"], "it was taken for a rollout");
}

#[test]
fn no_gate_holds_it_and_what_waits_for_approval_goes_on_waiting() {
    let mut world = world();
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1);
    stop(&world, PRODUCTION);
    world.settle();
    assert_eq!(world.running(PRODUCTION), "1.0.0");
    assert_eq!(world.questions("shop", "production").len(), 1);
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.running(PRODUCTION), "1.1.0");
}

#[test]
fn what_changes_again_and_again_is_left_to_a_person() {
    let mut world = world();
    for _ in 0..5 {
        stop(&world, STAGE);
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(mended(&world), 3);
    assert_eq!(world.running(STAGE), "");
    assert_eq!(world.row(STAGE).health, Health::Degraded);
    assert!(world.waits(STAGE).contains("dhow sync shop stage"), "{}", world.waits(STAGE));
    world.sync("alice", "shop", "stage").unwrap();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.waits(STAGE), "");
}

#[test]
fn a_mending_that_fails_is_tried_again_and_then_told() {
    let mut world = world();
    let error = TargetError::Failed("the image is gone".into());
    world.dock(STAGE).target.fail_in(Some(deployment(STAGE)), Phase::Switching, error);
    stop(&world, STAGE);
    world.settle();
    let row = world.row(STAGE);
    assert_eq!(row.health, Health::Degraded);
    assert!(row.waiting_for.unwrap().contains("failed 5 times"));
    assert_eq!(world.told(|event| matches!(event, Event::MendFailed { .. })), 1);
    world.dock(STAGE).target.heal();
    world.sync("alice", "shop", "stage").unwrap();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.row(STAGE).health, Health::Healthy);
}

#[test]
fn killed_while_it_mends_dhow_mends_after_the_next_start() {
    let mut world = world();
    let error = TargetError::Passing("the engine restarts".into());
    world.dock(STAGE).target.fail_in(Some(deployment(STAGE)), Phase::Switching, error);
    stop(&world, STAGE);
    world.pass(Duration::from_secs(10));
    world.kill();
    world.dock(STAGE).target.heal();
    world.restart();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(mended(&world), 1);
}
