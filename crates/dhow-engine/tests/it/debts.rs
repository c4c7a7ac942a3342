//! What places owe that do not answer: it holds up nothing and nobody, is told, and is done when they answer or written
//! off by a person.

use std::time::Duration;

use dhow_core::port::{Phase, TargetError};
use dhow_core::report::DebtStatus;
use dhow_core::rollout::{DeploymentRow, Event, Health, Hold, KnownServers, Quarantined, Rollout, State};

use crate::crash::deaths;
use crate::servers::{STAGE, root, runs, server, settings, three};
use crate::support::fleet::{stack, stack_path};
use crate::support::{Cut, File, World};

const SWARM: &str = "shop/swarm/stage";
/// Longer than any place is waited for.
const LONG: Duration = Duration::from_secs(900);

fn debts(world: &mut World) -> Vec<DebtStatus> {
    let status = world.ask(async |engine| engine.status(None).await).unwrap();
    status.deployments.into_iter().flat_map(|deployment| deployment.debts).collect()
}

fn waits(world: &mut World) -> String {
    let status = world.ask(async |engine| engine.status(None).await).unwrap();
    status.deployments.into_iter().filter_map(|deployment| deployment.waiting_for).collect()
}

fn fails(world: &World, at: &str) {
    let fails = TargetError::Failed("it answers 500".into());
    world.dock(STAGE).target.fail_at(server(at), Phase::Verifying, fails);
}

fn without_web3() -> [File; 2] {
    let root = root();
    let text = root
        .1
        .lines()
        .filter(|line| !line.contains("web3"))
        .fold(String::new(), |all, line| all + line + "\n");
    [(root.0, text), settings("servers: [web1, web2]\n")]
}

#[test]
fn what_follows_from_a_failure_is_stored_before_any_place_goes_back() {
    let mut world = three(None);
    world.push_by("alice", [stack("shop", "swarm", "stage", "1.0.0")]);
    world.settle();
    assert_eq!(world.running(SWARM), "1.0.0");
    fails(&world, "web3");
    world.dock(STAGE).block_way_back(server("web2"));
    world.publish("shop/api", "1.1.0");
    world.pass(Duration::from_secs(120));
    assert_eq!(world.phase(STAGE), "rolling_back");
    assert_eq!(world.list::<Quarantined>("").len(), 1, "a place that hangs holds up the quarantine");
    assert!(world.load::<Hold>("shop/stage").is_none_or(|hold| hold.hashes.is_empty()), "the edit ended it");
    assert!(world.told(|event| matches!(event, Event::Held { .. })) > 0);
    assert!(world.head(&stack_path("shop", "compose", "stage")).contains(":1.0.0@"), "Git was not put back");
    assert_eq!(world.running(SWARM), "1.0.0", "its sibling was not restored");
    assert_eq!(runs(&world), ["1.0.0", "1.1.0", "1.0.0"]);
    world.pass(LONG);
    assert_eq!(world.phase(STAGE), "rolled_back");
}

#[test]
fn a_rollout_ends_without_a_place_that_hangs_and_tells_what_still_runs_there() {
    let mut world = three(None);
    fails(&world, "web3");
    world.dock(STAGE).block_way_back(server("web2"));
    world.publish("shop/api", "1.1.0");
    world.pass(LONG);
    assert_eq!(world.runs(STAGE).last().unwrap(), "1.1.0 rolled_back");
    let [debt] = &debts(&mut world)[..] else { panic!() };
    assert_eq!((&debt.place, debt.owes.as_str()), (&server("web2"), "undo"));
    assert_eq!(debt.runs[0].tag.as_ref().unwrap().as_str(), "1.1.0");
    assert!(debt.error.contains("no answer within"), "{}", debt.error);
    let row = world.row(STAGE);
    assert_eq!(row.health, Health::Degraded);
    assert!(row.reason.unwrap().contains("web2, to be taken back there: it still runs api 1.1.0"));
    assert!(waits(&mut world).contains("`dhow server forget web2` writes it off"), "{}", waits(&mut world));
    let told = world
        .told(|event| matches!(event, Event::DebtIncurred { reason, .. } if reason.contains("api 1.1.0")));
    assert_eq!(told, 1);

    world.dock(STAGE).find_all();
    world.pass(LONG);
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert!(debts(&mut world).is_empty());
    assert_eq!(world.row(STAGE).health, Health::Healthy);
    assert_eq!(world.told(|event| matches!(event, Event::DebtSettled { .. })), 1);
}

#[test]
fn the_next_version_takes_a_debt_back_before_it_is_planned() {
    let mut world = three(None);
    fails(&world, "web3");
    world.dock(STAGE).target.fail_undo_at(
        server("web2"),
        Phase::Switching,
        TargetError::Passing("web2 cannot be reached".into()),
    );
    world.publish("shop/api", "1.1.0");
    world.settle();
    world.dock(STAGE).lose(server("web2"), false);
    world.dock(STAGE).target.heal();
    world.publish("shop/api", "1.2.0");
    world.settle();
    assert_eq!(world.phase(STAGE), "preparing", "it went on without a place that it names");
    world.dock(STAGE).find_all();
    world.settle();
    assert_eq!(runs(&world), ["1.2.0", "1.2.0", "1.2.0"]);
    assert!(world.row(STAGE).debts.is_empty());
}

#[test]
fn a_server_that_left_the_fleet_is_cleared_by_its_last_known_connection_when_it_answers() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web3"), false);
    world.push_by("alice", without_web3());
    world.settle();
    assert_eq!(world.phase(STAGE), "succeeded", "a dead server blocks tidying up");
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert_eq!(world.row(STAGE).health, Health::Healthy, "what left is no part of it");
    assert!(waits(&mut world).contains("web3 to answer, to be removed from there"), "{}", waits(&mut world));
    world.restart();
    let known = world.ask(async |engine| Ok(engine.servers())).unwrap();
    assert_eq!(known[&"web3".parse().unwrap()].ssh, "deploy@web3.test", "nobody knows how it is reached");
    world.dock(STAGE).find_all();
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", ""]);
    assert!(world.row(STAGE).debts.is_empty());
}

#[test]
fn a_silent_server_that_left_holds_up_no_rollout() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web3"), true);
    world.push_by("alice", without_web3());
    world.pass(Duration::from_secs(300));
    assert_eq!(world.phase(STAGE), "succeeded");
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(&world), ["1.1.0", "1.1.0", "1.0.0"]);
}

#[test]
fn what_is_wanted_again_where_it_was_to_be_removed_is_not_removed() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web3"), false);
    world.push_by("alice", without_web3());
    world.settle();
    world.push_by("alice", [root(), settings("servers: [web1, web2, web3]\n")]);
    world.settle();
    world.dock(STAGE).find_all();
    world.pass(LONG);
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert!(world.row(STAGE).debts.is_empty());
    assert_eq!(world.phase(STAGE), "succeeded");
}

#[test]
fn what_a_rollout_has_cleared_is_not_brought_back_by_what_was_owed_before() {
    let mut world = three(None);
    let target = &world.dock(STAGE).target;
    target.fail_at(server("web3"), Phase::Switching, TargetError::Failed("it is full".into()));
    let away = TargetError::Passing("web3 cannot be reached".into());
    target.fail_undo_at(server("web3"), Phase::Switching, away);
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(debts(&mut world).len(), 1);
    world.dock(STAGE).target.heal();
    let busy = TargetError::Passing("web1 is busy".into());
    world.dock(STAGE).target.fail_at(server("web1"), Phase::Finishing, busy);
    // The edit back has a release of its own: these files differ.
    world.push_by("alice", [settings("servers: [web1, web2]\n"), stack("shop", "compose", "stage", "1.2.0")]);
    world.content_of("shop/api", "1.2.0");
    world.settle();
    assert_eq!(world.phase(STAGE), "finishing");
    assert_eq!(runs(&world), ["1.2.0", "1.2.0", ""]);
    world.dock(STAGE).target.heal();
    world.pass(LONG);
    assert_eq!(runs(&world), ["1.2.0", "1.2.0", ""]);
    assert!(world.row(STAGE).debts.is_empty());
}

#[test]
fn a_person_writes_off_what_a_server_owes_and_history_says_who() {
    let mut world = three(None);
    let told = world.forget_server("root", "web3").unwrap_err().to_string();
    assert!(told.contains("web3 owes nothing"), "{told}");
    world.dock(STAGE).lose(server("web3"), true);
    world.push_by("alice", without_web3());
    world.pass(Duration::from_secs(300));
    let told = world.forget_server("root", "web3").unwrap().message;
    assert!(told.contains(STAGE) && told.contains("web3"), "{told}");
    assert!(debts(&mut world).is_empty());
    let by = world.told(|event| matches!(event, Event::DebtWrittenOff { by, .. } if by.as_str() == "root"));
    assert_eq!(by, 1);
    let known = world.load::<KnownServers>(KnownServers::KEY).unwrap();
    assert_eq!(known.servers.len(), 2, "its connection is still known");
    world.dock(STAGE).find_all();
    world.pass(LONG);
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"], "it was touched all the same");
}

fn leaves(world: &mut World) {
    world.remove_by("alice", &[&stack_path("shop", "compose", "stage"), &settings("").0]);
    world.settle();
}

#[test]
fn a_removal_goes_on_without_a_dead_server_says_so_and_ends_when_it_answers() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web2"), false);
    leaves(&mut world);
    assert_eq!(runs(&world), ["", "1.0.0", ""]);
    let row = world.row(STAGE);
    assert!(row.reason.unwrap().contains("web2: web2 cannot be reached"));
    assert!(waits(&mut world).contains("`dhow server forget web2`"), "{}", waits(&mut world));
    world.restart();
    world.dock(STAGE).find_all();
    world.settle();
    assert_eq!(runs(&world), ["", "", ""]);
    assert!(world.load::<DeploymentRow>(STAGE).is_none());
    assert_eq!(world.told(|event| matches!(event, Event::Removed { .. })), 1);
}

#[test]
fn a_removal_ends_when_the_dead_server_is_written_off() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web2"), true);
    leaves(&mut world);
    world.forget_server("root", "web2").unwrap();
    assert!(world.load::<DeploymentRow>(STAGE).is_none());
    assert_eq!(world.told(|event| matches!(event, Event::Removed { .. })), 1);
}

#[test]
fn what_comes_back_while_a_dead_server_owes_its_removal_is_created_again() {
    let mut world = three(None);
    world.dock(STAGE).lose(server("web2"), false);
    leaves(&mut world);
    world.push_by(
        "alice",
        [stack("shop", "compose", "stage", "1.0.0"), settings("servers: [web1, web2, web3]\n")],
    );
    world.settle();
    world.dock(STAGE).find_all();
    world.pass(LONG);
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    assert!(world.row(STAGE).debts.is_empty(), "{:?}", world.row(STAGE).debts);
}

fn newer(world: &mut World) {
    world.publish("shop/api", "1.1.0");
    world.settle();
    assert_eq!(runs(world), ["1.1.0", "1.1.0", "1.1.0"]);
}

#[test]
fn one_dead_server_blocks_the_way_back_of_no_other() {
    for silent in [false, true] {
        let mut world = three(None);
        newer(&mut world);
        world.dock(STAGE).lose(server("web1"), silent);
        let told = world.rollback("alice", "shop", "stage", "1.0.0").unwrap().message;
        assert!(told.contains("web1") && told.contains("it follows when it answers"), "{told}");
        assert_eq!(runs(&world), ["1.1.0", "1.0.0", "1.0.0"]);
        assert_eq!(world.phase(STAGE), "succeeded");
        assert_eq!(world.row(STAGE).health, Health::Degraded, "all is well although one runs something else");
        let [debt] = &debts(&mut world)[..] else { panic!() };
        assert_eq!((&debt.place, debt.owes.as_str()), (&server("web1"), "release"));
        world.dock(STAGE).find_all();
        world.pass(LONG);
        assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
        assert_eq!(world.row(STAGE).health, Health::Healthy);
    }
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_way_back_is_left_behind_too() {
    let mut world = three(None);
    newer(&mut world);
    let away = TargetError::Passing("web2 cannot be reached".into());
    world.dock(STAGE).target.fail_at(server("web2"), Phase::Switching, away);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(runs(&world), ["1.0.0", "1.1.0", "1.0.0"]);
    assert_eq!(world.phase(STAGE), "succeeded");
    world.dock(STAGE).target.heal();
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
}

#[test]
fn with_no_server_that_answers_a_way_back_waits() {
    let mut world = three(None);
    newer(&mut world);
    let away = TargetError::Passing("it cannot be reached".into());
    world.dock(STAGE).target.fail_in(None, Phase::Switching, away);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(world.phase(STAGE), "switching");
    world.dock(STAGE).target.heal();
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
}

#[test]
fn a_persons_word_counts_more_than_what_fails_at_the_same_time() {
    let mut world = three(None);
    let id = crate::support::deployment(STAGE);
    world.dock(STAGE).slow_down(id.clone());
    world.publish_broken("shop/api", "1.1.0");
    world.pass(Duration::from_secs(10));
    assert_eq!(world.phase(STAGE), "checking");
    let (alice, shop, stage) =
        (crate::support::actor("alice"), crate::support::name("shop"), crate::support::place("stage"));
    let to = dhow_engine::command::RollbackTo::Version("1.0.0".into());
    world.try_ask(async |engine| engine.rollback(&alice, &shop, &stage, &to).await).unwrap().unwrap();
    world.dock(STAGE).let_go(&id);
    world.settle();
    assert_eq!(world.runs(STAGE).last().unwrap(), "1.1.0 cancelled");
    assert!(world.list::<Quarantined>("").is_empty(), "a cancel was taken for a failure");
}

#[test]
fn one_word_ends_the_checks_on_all_servers_of_a_turn() {
    let mut world = three(None);
    // Nobody listens there.
    let checks = "servers: [web1, web2, web3]\nparallel: 3\nchecks:\n  - tcp: { port: 1 }\n";
    world.push_by("alice", [settings(checks)]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.phase(STAGE), "checking");
    let (alice, shop, stage) =
        (crate::support::actor("alice"), crate::support::name("shop"), crate::support::place("stage"));
    let to = dhow_engine::command::RollbackTo::Version("1.0.0".into());
    world.try_ask(async |engine| engine.rollback(&alice, &shop, &stage, &to).await).unwrap().unwrap();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.phase(STAGE), "cancelled", "the check of another server was waited for");
}

/// A version fails on one server while another one does not go back; the third leaves the list while it is dead. Then all
/// answer again.
fn voyage(cut: Option<Cut>) -> World {
    let mut world = three(cut);
    world.patience = Duration::from_secs(70);
    fails(&world, "web3");
    let away = TargetError::Passing("web2 cannot be reached".into());
    world.dock(STAGE).target.fail_undo_at(server("web2"), Phase::Switching, away);
    world.publish("shop/api", "1.1.0");
    world.settle();
    world.dock(STAGE).target.heal();
    world.settle();
    world.dock(STAGE).lose(server("web3"), false);
    world.push_by("alice", without_web3());
    world.settle();
    world.dock(STAGE).find_all();
    world.settle();
    world
}

#[test]
fn killed_at_any_instant_with_a_debt_outstanding_all_is_paid_in_the_end() {
    let undisturbed = voyage(None);
    let expected =
        (undisturbed.runs(STAGE), undisturbed.own_commits(), undisturbed.list::<Quarantined>("").len());
    assert_eq!(runs(&undisturbed), ["1.0.0", "1.0.0", ""]);
    assert_eq!(expected.0, ["1.0.0 succeeded", "1.1.0 rolled_back", "1.0.0 succeeded"]);
    for at in deaths(&undisturbed.store.batches()) {
        for cut in [Cut::Before(at), Cut::After(at)] {
            let world = voyage(Some(cut));
            assert_eq!(runs(&world), ["1.0.0", "1.0.0", ""], "{cut:?}");
            let got = (world.runs(STAGE), world.own_commits(), world.list::<Quarantined>("").len());
            assert_eq!(got, expected, "{cut:?}");
            let row = world.row(STAGE);
            assert!(row.debts.is_empty() && row.health == Health::Healthy, "{cut:?}: {row:?}");
        }
    }
}

/// The same for a way back that one server does not take part in, and for a removal that one server owes.
fn second_voyage(cut: Option<Cut>) -> World {
    let mut world = three(cut);
    world.patience = Duration::from_secs(70);
    world.publish("shop/api", "1.1.0");
    world.settle();
    world.dock(STAGE).lose(server("web1"), false);
    let (alice, shop, stage) =
        (crate::support::actor("alice"), crate::support::name("shop"), crate::support::place("stage"));
    let to = dhow_engine::command::RollbackTo::Version("1.0.0".into());
    for _ in 0..2 {
        if world.running_at(STAGE, &server("web2")) == "1.1.0" {
            let _ = world.try_ask(async |engine| engine.rollback(&alice, &shop, &stage, &to).await);
            world.settle();
        }
    }
    assert_eq!(runs(&world), ["1.1.0", "1.0.0", "1.0.0"]);
    world.dock(STAGE).find_all();
    world.settle();
    assert_eq!(runs(&world), ["1.0.0", "1.0.0", "1.0.0"]);
    world.dock(STAGE).lose(server("web2"), false);
    leaves(&mut world);
    world.dock(STAGE).find_all();
    world.settle();
    world
}

#[test]
fn killed_at_any_instant_a_way_back_and_a_removal_come_to_their_end() {
    let undisturbed = second_voyage(None);
    assert!(undisturbed.load::<DeploymentRow>(STAGE).is_none());
    let expected = undisturbed.runs(STAGE);
    for at in deaths(&undisturbed.store.batches()) {
        for cut in [Cut::Before(at), Cut::After(at)] {
            let world = second_voyage(Some(cut));
            assert!(world.load::<DeploymentRow>(STAGE).is_none(), "{cut:?}");
            assert_eq!(runs(&world), ["", "", ""], "{cut:?}");
            assert_eq!(world.runs(STAGE), expected, "{cut:?}");
            assert_eq!(world.told(|event| matches!(event, Event::Removed { .. })), 1, "{cut:?}");
        }
    }
}

#[test]
fn a_rollout_that_an_older_dhow_turned_back_is_concluded_all_the_same() {
    let mut world = three(None);
    fails(&world, "web3");
    world.dock(STAGE).block_way_back(server("web2"));
    world.publish("shop/api", "1.1.0");
    world.pass(Duration::from_secs(60));
    let failed = world.list::<Rollout>(STAGE).into_iter().find(|r| r.state == State::RollingBack).unwrap();
    let mut old = serde_json::to_value(&failed).unwrap();
    for field in ["verdict", "behind", "not_left", "undo_tries"] {
        old.as_object_mut().unwrap().remove(field);
    }
    let old: Rollout = serde_json::from_value(old).unwrap();
    assert!(old.verdict.is_none());
    let mut row = serde_json::to_value(world.row(STAGE)).unwrap();
    row.as_object_mut().unwrap().remove("debts");
    assert!(serde_json::from_value::<DeploymentRow>(row).unwrap().debts.is_empty());
    world.kill();
    world.forget_conclusions(&old);
    world.dock(STAGE).find_all();
    world.start();
    assert_eq!(world.list::<Quarantined>("").len(), 1);
    assert_eq!(world.runs(STAGE).last().unwrap(), "1.1.0 rolled_back");
}
