//! A deployment on several servers: one after another, back everywhere where one fails, and told where what runs.

use dhow_core::noun::ServerName;
use dhow_core::port::{Phase, Place, TargetError};
use dhow_core::report::PlaceStatus;
use dhow_core::rollout::{Event, Progress, Rollout, State};

use crate::crash::deaths;
use crate::support::fleet::{image_service, stack};
use crate::support::{Cut, File, World};

pub const STAGE: &str = "shop/compose/stage";

pub fn server(name: &str) -> Place {
    Place::Server(ServerName::new(name).unwrap())
}

pub fn root() -> File {
    let servers: String =
        ["web1", "web2", "web3"].map(|name| format!("  {name}: {{ ssh: deploy@{name}.test }}\n")).concat();
    ("dhow.yaml".into(), format!("environments:\n  stage: {{ update: commit }}\nservers:\n{servers}"))
}

pub fn settings(text: &str) -> File {
    ("services/shop/compose/stage/dhow.yaml".into(), text.into())
}

/// Dhow is killed there, if anywhere.
pub fn world(servers: &str, cut: Option<Cut>) -> World {
    let files = [
        root(),
        image_service("shop", "{ semver: '>=0' }"),
        stack("shop", "compose", "stage", "1.0.0"),
        settings(servers),
    ];
    let mut world = World::new(files);
    if let Some(cut) = cut {
        world.store.cut_at(cut);
    }
    world.publish("shop/api", "1.0.0");
    world.start();
    world
}

pub fn three(cut: Option<Cut>) -> World {
    world("servers: [web1, web2, web3]\n", cut)
}

/// What runs on each.
pub fn runs(world: &World) -> Vec<String> {
    ["web1", "web2", "web3"].map(|name| world.running_at(STAGE, &server(name))).to_vec()
}

/// The steps of a phase in the order in which they were begun, of the newest rollout: their servers.
fn begun(world: &World, word: &str) -> Vec<String> {
    let newest = world.row(STAGE).rollout.unwrap();
    let key = |event: Event| match event {
        Event::StepStarted { rollout, key, undo: false, .. } if rollout == newest => Some(key),
        _ => None,
    };
    let keys = world.events().into_iter().filter_map(key).filter(|key| key.starts_with(word));
    keys.filter_map(|key| Some(key.split_once('@')?.1.to_owned())).collect()
}

fn places(world: &mut World) -> Vec<PlaceStatus> {
    world.ask(async |engine| engine.status(None).await).unwrap().deployments.remove(0).places
}

#[test]
fn servers_are_switched_and_verified_one_after_another() {
    let mut world = three(None);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.1.0", "1.1.0", "1.1.0"]);
    let newest = world.row(STAGE).rollout.unwrap();
    let order: Vec<String> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::StepStarted { rollout, key, .. } if rollout == newest => Some(key),
            _ => None,
        })
        .filter(|key| key.starts_with("switch") || key.starts_with("look"))
        .map(|key| format!("{} {}", key.split(':').next().unwrap(), key.split_once('@').unwrap().1))
        .collect();
    assert_eq!(order, ["switch web1", "look web1", "switch web2", "look web2", "switch web3", "look web3"]);
    assert!(places(&mut world).is_empty(), "all run the same");
}

#[test]
fn parallel_switches_as_many_at_once_as_it_says() {
    let mut world = world("servers: [web1, web2, web3]\nparallel: 2\n", None);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.1.0", "1.1.0", "1.1.0"]);
    let rollouts = world.list::<Rollout>(STAGE);
    assert_eq!(rollouts.last().unwrap().turns, [vec![server("web1"), server("web2")], vec![server("web3")]]);
}

#[test]
fn the_first_server_that_fails_stops_it_and_those_done_go_back() {
    let mut world = three(None);
    let fails = TargetError::Failed("it answers 500".into());
    world.dock(STAGE).target.fail_at(server("web2"), Phase::Verifying, fails);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    let rollouts = world.list::<Rollout>(STAGE);
    let failed = rollouts.iter().find(|r| r.state == State::RolledBack).unwrap();
    let reason = failed.reason.as_deref().unwrap();
    assert_eq!(reason, "web2: it answers 500; taken back: web1, web2; not touched: web3");
    assert!(!world.live(STAGE).is_empty());
    assert_eq!(begun(&world, "switch"), ["web1", "web2"], "the third was touched");
}

#[test]
fn a_version_that_fails_before_any_switch_touches_no_server() {
    let mut world = three(None);
    world.publish_broken("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert_eq!(world.live(STAGE).len(), 3, "it went live somewhere");
}

#[test]
fn a_server_that_cannot_be_reached_is_waited_for_and_it_is_told_what_runs_where() {
    let mut world = three(None);
    let away = TargetError::Passing("web2 cannot be reached: no route to host".into());
    world.dock(STAGE).target.fail_at(server("web2"), Phase::Switching, away);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.1.0", "1.0.0", "1.0.0"]);
    assert_eq!(world.phase(STAGE), "switching");
    assert!(world.row(STAGE).reason.unwrap().contains("web2 cannot be reached"));
    let told: Vec<_> = places(&mut world)
        .into_iter()
        .map(|at| {
            (
                at.place.to_string(),
                at.progress,
                at.running.first().map(|a| a.tag.as_ref().unwrap().to_string()),
            )
        })
        .collect();
    let expected = [
        ("web1".to_owned(), Progress::New, Some("1.1.0".to_owned())),
        ("web2".to_owned(), Progress::Between, None),
        ("web3".to_owned(), Progress::Old, Some("1.0.0".to_owned())),
    ];
    assert_eq!(told, expected);
    world.dock(STAGE).target.heal();
    world.settle();
    assert_eq!(runs(&world), ["1.1.0", "1.1.0", "1.1.0"]);
    assert_eq!(world.phase(STAGE), "succeeded");
}

#[test]
fn a_server_that_cannot_go_back_holds_up_no_other() {
    let mut world = three(None);
    let target = &world.dock(STAGE).target;
    target.fail_at(server("web3"), Phase::Verifying, TargetError::Failed("it answers 500".into()));
    let away = TargetError::Passing("web2 cannot be reached".into());
    target.fail_undo_at(server("web2"), Phase::Switching, away);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.1.0", "1.0.0"]);
    assert_eq!(world.phase(STAGE), "rolled_back");
    let reason = world.row(STAGE).reason.unwrap();
    assert!(reason.contains("web2, to be taken back there: it still runs api 1.1.0"), "{reason}");
    world.dock(STAGE).target.heal();
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert_eq!(world.row(STAGE).running, world.row(STAGE).desired);
}

#[test]
fn a_server_that_leaves_the_list_is_cleared_once_the_others_run() {
    let mut world = three(None);
    world.push_by("alice", [settings("servers: [web1, web2]\n")]);
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", ""]);
    assert_eq!(world.phase(STAGE), "succeeded");
}

#[test]
fn killed_at_any_instant_all_servers_end_at_one_release() {
    for fails in [false, true] {
        let voyage = |cut: Option<Cut>| {
            let mut world = three(cut);
            if fails {
                let error = TargetError::Failed("it answers 500".into());
                world.dock(STAGE).target.fail_at(server("web2"), Phase::Verifying, error);
            }
            world.publish("shop/api", "1.1.0");
            world.settle();
            world
        };
        let undisturbed = voyage(None);
        let expected = if fails { "1.0.0" } else { "1.1.0" };
        assert_eq!(runs(&undisturbed), [expected; 3]);
        for at in deaths(&undisturbed.store.batches()) {
            for cut in [Cut::Before(at), Cut::After(at)] {
                let world = voyage(Some(cut));
                assert_eq!(runs(&world), [expected; 3], "{cut:?}");
                assert_eq!(world.runs(STAGE), undisturbed.runs(STAGE), "{cut:?}");
            }
        }
    }
}
