//! Looks at what runs, while a server hangs.

use std::time::Duration;

use dhow_core::noun::ServerName;
use dhow_core::port::{Phase, Place, TargetError};
use dhow_core::rollout::{Event, Health};

use crate::support::fleet::{image_service, stack};
use crate::support::{World, deployment};

const COUNT: usize = 60;

fn server(name: &str) -> Place {
    Place::Server(ServerName::new(name).unwrap())
}

fn id(at: usize) -> String {
    format!("s{at}/compose/stage")
}

/// Services in turn on web1 and web2.
fn world() -> World {
    let servers = "servers:\n  web1: { ssh: a@web1.test }\n  web2: { ssh: a@web2.test }\n";
    let root = format!("environments:\n  stage: {{ update: commit }}\n{servers}");
    let mut files = vec![("dhow.yaml".to_owned(), root)];
    for at in 0..COUNT {
        let (name, server) = (format!("s{at}"), if at % 2 == 0 { "web1" } else { "web2" });
        files.push(image_service(&name, "{ semver: '>=0' }"));
        files.push(stack(&name, "compose", "stage", "1.0.0"));
        files.push((format!("services/{name}/compose/stage/dhow.yaml"), format!("servers: [{server}]\n")));
    }
    let mut world = World::new(files);
    world.settings.observe_interval = Duration::from_secs(1);
    for at in 0..COUNT {
        world.publish(&format!("s{at}/api"), "1.0.0");
    }
    world.start();
    world
}

#[test]
fn a_server_that_hangs_takes_no_look_from_the_others() {
    let mut world = world();
    let dock = world.dock("s0/compose/stage");
    dock.lose(server("web1"), true);
    let asked = dock.asked(&server("web2"));
    world.pass(Duration::from_secs(100));
    let asked = world.dock("s0/compose/stage").asked(&server("web2")) - asked;
    assert!(asked >= COUNT / 2, "the other server was looked at {asked} times in 100 s");
    world.pass(Duration::from_secs(100));
    assert_eq!(world.row(&id(0)).health, Health::Degraded);
    assert!(world.row(&id(0)).reason.unwrap().contains("web1 did not answer"));
    assert_eq!(world.row(&id(1)).health, Health::Healthy);
}

#[test]
fn what_is_changed_beside_a_server_that_hangs_is_brought_back_within_seconds() {
    let mut world = world();
    world.dock("s0/compose/stage").lose(server("web1"), true);
    for at in 0..COUNT {
        let place = server(if at % 2 == 0 { "web1" } else { "web2" });
        world.dock(&id(at)).target.stop_by_hand(&deployment(&id(at)), &place);
    }
    world.pass(Duration::from_secs(15));
    let mended = world.told(|event| matches!(event, Event::MendDone { .. }));
    assert_eq!(mended, COUNT / 2, "nudges of the server that hangs hold up the others");
}

#[test]
fn a_thousand_nudges_are_a_few_looks() {
    let mut world = world();
    let before = world.dock("s0/compose/stage").asked(&server("web1"));
    let first = deployment(&id(0));
    for _ in 0..1_000 {
        world.dock(&id(0)).target.nudge(&first);
    }
    world.pass(Duration::from_secs(5));
    let asked = world.dock("s0/compose/stage").asked(&server("web1")) - before;
    assert!(asked < 50, "{asked} looks");
}

#[test]
fn what_a_step_says_again_in_each_try_is_stored_once() {
    let mut world = world();
    let error = TargetError::Passing("no route to host".into());
    world.dock("s0/compose/stage").target.fail_in(Some(deployment(&id(0))), Phase::Switching, error);
    world.dock("s0/compose/stage").says(&["pulling", "no route to host"]);
    world.publish("s0/api", "1.1.0");
    world.pass(Duration::from_secs(600));
    let said = |event: &Event| match event {
        Event::StepSaid { key, lines, .. } if key.starts_with("switch") => lines.len(),
        _ => 0,
    };
    let lines: usize = world.events().iter().map(said).sum();
    assert_eq!(lines, 2, "each try is stored");
}

#[test]
fn sync_of_what_is_to_be_brought_back_says_so() {
    let mut world = world();
    let error = TargetError::Failed("the image is gone".into());
    world.dock("s0/compose/stage").target.fail_in(Some(deployment(&id(0))), Phase::Switching, error);
    world.dock(&id(0)).target.stop_by_hand(&deployment(&id(0)), &server("web1"));
    world.settle();
    world.dock("s0/compose/stage").target.heal();
    let told = world.sync("alice", "s0", "stage").unwrap().message;
    assert_eq!(told, "it is being brought back to what was rolled out");
}
