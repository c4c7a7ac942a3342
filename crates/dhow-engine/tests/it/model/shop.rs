//! The fleet that everything happens to: two services, one of them with two deployments in production.

use std::time::Duration;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::ServerName;
use dhow_core::port::Place;

use crate::support::fleet::{image_service, page, service, site, stack};
use crate::support::{File, World, deployment};

use super::action::{Env, Gates, Shape, Svc};

/// What is said of production.
pub fn production(gates: Gates) -> &'static str {
    match gates {
        Gates::From => "{ from: stage }",
        Gates::FromAndOne => "{ from: stage, approvals: { needed: 1, from: [alice, bob] } }",
        Gates::FromAndTwo => "{ from: stage, approvals: { needed: 2, from: [alice, bob, carol] } }",
        Gates::FromAndSoak => "{ from: stage, soak: 2m }",
        Gates::One => "{ approvals: { needed: 1, from: [alice, bob] } }",
        Gates::Nothing => "{ update: commit }",
    }
}

/// How many must agree, of whom.
pub fn approvers(gates: Gates) -> Option<(usize, &'static [&'static str])> {
    match gates {
        Gates::FromAndOne | Gates::One => Some((1, &["alice", "bob"])),
        Gates::FromAndTwo => Some((2, &["alice", "bob", "carol"])),
        Gates::From | Gates::FromAndSoak | Gates::Nothing => None,
    }
}

/// How long a version must be healthy on stage.
pub fn soak(gates: Gates) -> Option<Duration> {
    (gates == Gates::FromAndSoak).then_some(Duration::from_secs(120))
}

/// Whether production takes only what ran healthy on stage.
pub fn has_from(gates: Gates) -> bool {
    !matches!(gates, Gates::One | Gates::Nothing)
}

/// The deployments of a service in an environment.
pub fn deployments(svc: Svc, env: Env) -> &'static [&'static str] {
    match (svc, env) {
        (Svc::Shop, Env::Stage) => &["shop/static_file/stage"],
        (Svc::Shop, Env::Production) => &["shop/static_file/production"],
        (Svc::App, Env::Stage) => &["app/compose/stage"],
        (Svc::App, Env::Production) => &["app/compose/production", "app/swarm/production"],
    }
}

/// The deployment that runs on two servers, where one does.
const SPREAD: &str = "app/compose/production";
/// The servers.
pub const SERVERS: [&str; 2] = ["web1", "web2"];

/// A server.
pub fn server(number: usize) -> Place {
    Place::Server(ServerName::new(SERVERS[number % SERVERS.len()]).expect("a name"))
}

/// Where a deployment runs.
pub fn places(shape: Shape, id: &str) -> Vec<Place> {
    if shape.servers && id == SPREAD { vec![server(0), server(1)] } else { vec![Place::Local] }
}

/// The releases that run of a deployment, at each of its places.
pub fn running(world: &World, shape: Shape, id: &str) -> Vec<Option<DesiredHash>> {
    let at = deployment(id);
    places(shape, id).iter().map(|place| world.dock(id).target.current(&at, place)).collect()
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static str> {
    Svc::ALL
        .into_iter()
        .flat_map(|svc| Env::ALL.into_iter().flat_map(move |env| deployments(svc, env)).copied())
}

/// The files that pin a version of a service in an environment.
pub fn pins(svc: Svc, env: Env, tag: &str) -> Vec<File> {
    match (svc, env) {
        (Svc::Shop, _) => vec![site("shop", env.name(), tag)],
        (Svc::App, Env::Stage) => vec![stack("app", "compose", "stage", tag)],
        (Svc::App, Env::Production) => {
            vec![stack("app", "compose", "production", tag), stack("app", "swarm", "production", tag)]
        }
    }
}

/// A file beside the version.
pub fn other_file(svc: Svc, env: Env, text: &str) -> File {
    match svc {
        Svc::Shop => page("shop", env.name(), text),
        Svc::App => (format!("services/app/compose/{}/settings.txt", env.name()), format!("{text}\n")),
    }
}

/// What is said of where a service runs in an environment.
pub fn settings(shape: Shape, svc: Svc, env: Env) -> Option<File> {
    let path = "services/app/compose/production/dhow.yaml";
    let spread = shape.servers && svc == Svc::App && env == Env::Production;
    spread.then(|| (path.to_owned(), format!("servers: [{}]\n", SERVERS.join(", "))))
}

/// A world in which version 1.0.0 of everything is pinned everywhere, and Dhow is not started.
pub fn world(shape: Shape) -> World {
    let mut root =
        format!("environments:\n  stage: {{ update: commit }}\n  production: {}\n", production(shape.gates));
    if shape.servers {
        root.push_str("servers:\n");
        SERVERS.iter().for_each(|name| root.push_str(&format!("  {name}: {{ ssh: deploy@{name}.test }}\n")));
    }
    let (path, mut app) = image_service("app", "{ semver: '>=0' }");
    if shape.after {
        app.push_str("after: [shop]\n");
    }
    let mut files = vec![("dhow.yaml".to_owned(), root), service("shop", "{ semver: '>=0' }"), (path, app)];
    for (svc, env) in Svc::ALL.into_iter().flat_map(|svc| Env::ALL.map(|env| (svc, env))) {
        files.extend(pins(svc, env, "1.0.0"));
        files.push(other_file(svc, env, "one"));
        files.extend(settings(shape, svc, env));
    }
    let mut world = World::new(files);
    world.settings.jitter = 0.0;
    world.patience = Duration::from_secs(20);
    for svc in Svc::ALL {
        world.publish(svc.repository(), "1.0.0");
    }
    world
}
