//! Promotion: exactly the digests that run healthy upstream.

use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::port::BranchName;
use dhow_core::rollout::{Event, Proof, ProposalBranch};

use crate::support::fleet::{root, service, site, site_path};
use crate::support::{World, actor, deployment, name, place};

const STAGE: &str = "shop/static_file/stage";
const PRODUCTION: &str = "shop/static_file/production";

fn world(gates: &str) -> World {
    let files = [
        root(gates),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        site("shop", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world.settle();
    if gates.contains("approvals") {
        world.approve("bob", "shop", "production").unwrap();
    }
    assert_eq!(world.running(PRODUCTION), "1.0.0");
    world
}

#[test]
fn promotion_moves_exactly_the_digest_that_is_healthy_upstream() {
    let mut world = world("{ from: stage }");
    let digest = world.publish("shop/web", "1.1.0");
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0", "promoted before it was healthy");
    // The tag is pushed again meanwhile: what ran is what is promoted.
    world.publish_content("shop/web", "1.1.0", "something else");
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert!(world.head(&site_path("shop", "production")).contains(&digest.to_string()));
    assert_eq!(world.running(PRODUCTION), "1.1.0");
    assert_eq!(world.runs(PRODUCTION).len(), 2);
}

#[test]
fn what_failed_upstream_is_not_promoted() {
    let mut world = world("{ from: stage }");
    world.publish_broken("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
    assert_eq!(world.runs(PRODUCTION).len(), 1);
    let broken = Digest::of(b"shop/web:1.1.0");
    assert!(world.list::<Proof>("").iter().all(|p| p.pin.digest != broken));
}

#[test]
fn a_promotion_that_needs_approval_is_proposed_on_its_branch_and_then_committed() {
    let mut world = world("{ from: stage, approvals: { needed: 1, from: [alice, bob] } }");
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
    let branch = BranchName::new("dhow/production/shop").unwrap();
    let shown = world.fleet.remote_file(&branch, &site_path("shop", "production")).unwrap();
    assert!(String::from_utf8(shown).unwrap().contains(":1.1.0@"));
    world.approve("alice", "shop", "production").unwrap();
    assert_eq!(
        (world.running(PRODUCTION), world.pinned("shop", "production")),
        ("1.1.0".into(), "1.1.0".into())
    );
    assert_eq!(world.fleet.remote(&branch), None, "the branch of a decided proposal was left behind");
    assert_eq!(world.runs(PRODUCTION).len(), 2);
}

fn asked() -> (World, BranchName) {
    let mut world = world("{ from: stage, approvals: { needed: 1, from: [alice, bob] } }");
    world.publish("shop/web", "1.1.0");
    world.settle();
    let branch = BranchName::new("dhow/production/shop").unwrap();
    assert!(world.fleet.remote(&branch).is_some());
    (world, branch)
}

/// Alice says so, and what follows at once follows.
fn decides(world: &mut World, approve: bool) {
    let (alice, shop, production) = (actor("alice"), name("shop"), place("production"));
    let told = match approve {
        true => world.try_ask(async |e| e.approve(&alice, &shop, &production, None).await),
        false => world.try_ask(async |e| e.reject(&alice, &shop, &production, None, None).await),
    };
    told.unwrap().unwrap();
    world.pass(Duration::from_secs(1));
}

#[test]
fn a_branch_that_a_killed_process_pushed_and_that_arrives_after_the_decision_is_taken_away() {
    let (mut world, branch) = asked();
    let pushed = world.fleet.remote(&branch).unwrap();
    world.kill();
    let row = world.list::<ProposalBranch>(ProposalBranch::PREFIX).remove(0);
    world.put(&ProposalBranch { shown: false, ..row });
    world.start_at_once();
    world.pass(Duration::from_secs(1));
    decides(&mut world, true);
    assert_eq!(world.fleet.remote(&branch), None);
    world.fleet.arrives(&branch, &pushed);
    world.settle();
    assert_eq!(world.fleet.remote(&branch), None, "what arrived late was left behind");
}

#[test]
fn a_branch_that_cannot_be_taken_away_at_once_is_taken_away_later() {
    let (mut world, branch) = asked();
    world.fleet.refuse_pushes(Some("cannot lock ref"));
    decides(&mut world, false);
    assert!(world.fleet.remote(&branch).is_some());
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!(world.fleet.remote(&branch), None);
}

#[test]
fn a_digest_pinned_by_hand_that_never_ran_upstream_waits() {
    let mut world = world("{ from: stage }");
    world.content_of("shop/web", "nightly");
    world.push_by("alice", [site("shop", "production", "nightly")]);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    assert!(world.waits(PRODUCTION).contains("stage"), "{}", world.waits(PRODUCTION));
    world.restart();
    assert_eq!(
        world.phase(PRODUCTION),
        "awaiting_approval",
        "a person's word was overwritten by a promotion"
    );
    assert_eq!(world.running(PRODUCTION), "1.0.0");
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(PRODUCTION), "1.1.0", "what is newer upstream is not promoted any more");
}

#[test]
fn an_approval_does_not_let_through_what_never_ran_upstream() {
    let mut world = world("{ from: stage, approvals: { needed: 1, from: [alice, bob] } }");
    let never = Digest::of(b"never");
    world.publish_content("shop/web", "other", "never");
    let text = format!("bundle: r.test/shop/web:other@{never}\n");
    world.push_by("dave", [(site_path("shop", "production"), text)]);
    world.settle();
    let _ = world.approve("bob", "shop", "production");
    world.settle();
    assert!(!world.live(PRODUCTION).contains(&"other".to_owned()), "{:?}", world.live(PRODUCTION));
}

#[test]
fn production_goes_on_by_itself_where_it_follows_stage_after_a_restart() {
    let mut world = world("{ from: stage }");
    world.dock(PRODUCTION).slow_down(deployment(PRODUCTION));
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.restart();
    world.dock(PRODUCTION).let_go(&deployment(PRODUCTION));
    world.settle();
    assert_eq!(world.running(PRODUCTION), "1.1.0");
    assert_eq!(world.runs(PRODUCTION), ["1.0.0 succeeded", "1.1.0 succeeded"]);
}

#[test]
fn what_upstream_left_and_came_back_to_is_proposed_once_and_stays_proposed() {
    let mut world = world("{ from: stage, approvals: { needed: 1, from: [alice, bob] } }");
    world.publish("shop/web", "1.1.0");
    world.settle();
    let opened = |world: &World| world.told(|e| matches!(e, Event::ProposalOpened { .. }));
    let before = opened(&world);
    world.push_by("dave", [site("shop", "stage", "1.0.0")]);
    world.settle();
    assert!(world.questions("shop", "production").is_empty(), "stage went back from it");
    world.push_by("dave", [site("shop", "stage", "1.1.0")]);
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1, "stage stands by it again");
    assert_eq!(opened(&world), before + 1, "people were asked again and again");
}
