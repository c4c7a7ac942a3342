//! What runs, what it writes, and commands in it, on several servers.

use std::time::Duration;

use dhow_core::noun::{EnvironmentName, ServiceName, TargetType};
use dhow_core::port::{Inside, Place, Tail};
use dhow_core::report::{LogEntry, Which};
use dhow_core::rollout::Event;
use dhow_engine::EngineError;
use dhow_engine::command::Actor;
use futures::StreamExt as _;

use crate::support::World;
use crate::support::fleet::{image_service, stack};

fn server(name: &str) -> Place {
    Place::Server(name.parse().unwrap())
}

/// A service on three servers, in stage and behind approvals in production.
fn world() -> World {
    let root = "environments:\n  stage: { update: commit }\n  production:\n    update: commit\n    approvals: { needed: \
                1, from: [bob] }\nservers:\n  web1: { ssh: a@web1.test }\n  web2: { ssh: a@web2.test }\n  web3: { ssh: \
                a@web3.test }\n";
    let settings = |environment: &str| {
        (format!("services/shop/compose/{environment}/dhow.yaml"), "servers: [web1, web2, web3]\n".to_owned())
    };
    let mut world = World::new([
        ("dhow.yaml".to_owned(), root.to_owned()),
        image_service("shop", "{ semver: '>=0' }"),
        stack("shop", "compose", "stage", "1.0.0"),
        settings("stage"),
        stack("shop", "compose", "production", "1.0.0"),
        settings("production"),
    ]);
    world.publish("shop/api", "1.0.0");
    world.start();
    world
}

fn shop() -> ServiceName {
    "shop".parse().unwrap()
}

fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

fn inside() -> Inside {
    let argv = vec!["/bin/report".to_owned(), "--password=hunter2".to_owned()];
    Inside { container: None, argv, stdin: None, limit: Duration::from_secs(5) }
}

fn exec(world: &mut World, at: &str, which: Which) -> Result<usize, EngineError> {
    let actor = Actor { person: "dora".parse().unwrap() };
    world.ask(async |engine| {
        let heard = engine.exec(&actor, &shop(), &environment(at), &which, &inside()).await?;
        Ok(heard.count().await)
    })
}

#[test]
fn a_server_that_does_not_answer_is_told_and_the_others_are_shown() {
    let mut world = world();
    world.dock("shop/compose/stage").away(server("web1"), false);
    world.dock("shop/compose/stage").away(server("web2"), true);
    let found =
        world.ask(async |engine| engine.processes(Some(&shop()), Some(&environment("stage"))).await).unwrap();
    let shown: Vec<&Place> = found.processes.iter().map(|one| &one.place).collect();
    assert_eq!(shown, [&server("web3")]);
    let told: Vec<(&Place, &str)> =
        found.problems.iter().map(|one| (&one.place, one.message.as_str())).collect();
    let [(first, refused), (second, silent)] = told[..] else { panic!("{told:?}") };
    assert_eq!((first, second), (&server("web1"), &server("web2")));
    assert!(
        refused.contains("cannot be reached") && silent.contains("did not answer within 20 s"),
        "{told:?}"
    );

    let tail = Tail { lines: 5, follow: false, container: None };
    let stage = environment("stage");
    let lines = world.ask(async |engine| {
        let lines = engine.logs(&shop(), &stage, &Which::default(), &tail).await?;
        Ok(lines.collect::<Vec<_>>().await)
    });
    let (lines, problems): (Vec<_>, Vec<_>) =
        lines.unwrap().into_iter().partition(|entry| matches!(entry, LogEntry::Line { .. }));
    assert_eq!((lines.len(), problems.len()), (1, 2), "{lines:?} {problems:?}");
}

#[test]
fn a_command_is_for_one_server_and_who_ran_it_is_stored_without_its_arguments() {
    let mut world = world();
    let told = exec(&mut world, "stage", Which::default()).unwrap_err().to_string();
    assert!(told.contains("Give --server") && told.contains("web1, web2, web3"), "{told}");
    let there = Which { target: None, server: Some("web2".parse().unwrap()) };
    assert_eq!(exec(&mut world, "stage", there.clone()).unwrap(), 2);
    let stored: Vec<Event> =
        world.events().into_iter().filter(|event| matches!(event, Event::CommandStarted { .. })).collect();
    let [Event::CommandStarted { place, program, by, .. }] = &stored[..] else { panic!("{stored:?}") };
    assert_eq!((place, program.as_str(), by.as_str()), (&server("web2"), "/bin/report", "dora"));
    assert!(!format!("{stored:?}").contains("hunter2"));
    let nowhere = Which { server: Some("web9".parse().unwrap()), ..there };
    let told = exec(&mut world, "stage", nowhere).unwrap_err().to_string();
    assert!(told.contains("it runs on web1, web2, web3"), "{told}");
    let other = Which { target: Some(TargetType::Swarm), server: None };
    assert!(matches!(exec(&mut world, "stage", other), Err(EngineError::NotFound(_))));
}

#[test]
fn ps_of_many_deployments_on_a_silent_server_ends_soon_and_names_what_did_not_answer() {
    const COUNT: usize = 200;
    let servers = "servers:\n  web1: { ssh: a@web1.test }\n  web2: { ssh: a@web2.test }\n";
    let mut files =
        vec![("dhow.yaml".to_owned(), format!("environments:\n  stage: {{ update: commit }}\n{servers}"))];
    for at in 0..COUNT {
        let (name, server) = (format!("s{at}"), if at % 2 == 0 { "web1" } else { "web2" });
        files.push(image_service(&name, "{ semver: '>=0' }"));
        files.push(stack(&name, "compose", "stage", "1.0.0"));
        let settings = format!("services/{name}/compose/stage/dhow.yaml");
        files.push((settings, format!("servers: [{server}]\n")));
    }
    let mut world = World::new(files);
    for at in 0..COUNT {
        world.publish(&format!("s{at}/api"), "1.0.0");
    }
    world.start();
    world.dock("s0/compose/stage").away(server("web2"), true);
    let found = world.ask(async |engine| {
        let asked = tokio::time::Instant::now();
        let found = engine.processes(None, None).await?;
        Ok((found, asked.elapsed()))
    });
    let (found, time) = found.unwrap();
    assert!(time <= Duration::from_secs(45), "it took {time:?}");
    assert_eq!(found.processes.len(), COUNT / 2, "a server that answers was not shown whole");
    assert_eq!(found.problems.len(), COUNT / 2);
    assert!(found.problems.iter().all(|one| one.place == server("web2")));
}
