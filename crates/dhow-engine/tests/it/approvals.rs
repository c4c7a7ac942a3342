//! Who must say yes, to what, and who may.

use crate::support::fleet::{image_service, page, root, service, site, stack};
use crate::support::{World, actor, name, place};

const PRODUCTION: &str = "shop/static_file/production";

/// Production runs 1.0.0; two of alice, bob and carol must agree to a change.
fn gated(needed: u32) -> World {
    let gates = format!("{{ approvals: {{ needed: {needed}, from: [alice, bob, carol] }} }}");
    let files = [
        root(&gates),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "production", "1.0.0"),
        page("shop", "production", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    for who in ["alice", "bob", "carol"].into_iter().take(needed as usize) {
        world.approve(who, "shop", "production").unwrap();
    }
    assert_eq!(world.phase(PRODUCTION), "succeeded");
    world
}

#[test]
fn a_hand_made_commit_to_production_waits_for_approval() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    assert!(world.waits(PRODUCTION).contains("dhow approve shop production"), "{}", world.waits(PRODUCTION));
    assert_eq!(world.live(PRODUCTION).len(), 1, "it went live without a word from anybody");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
    assert_eq!(world.live(PRODUCTION).len(), 2);
}

#[test]
fn a_commit_still_waits_for_approval_after_a_restart() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    world.restart();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    assert_eq!(world.live(PRODUCTION).len(), 1);
    assert_eq!(world.questions("shop", "production").len(), 1, "asked twice, or not at all");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
}

#[test]
fn what_is_asked_is_shown_after_a_start_that_could_not_read_the_fleet_yet() {
    let mut world = gated(2);
    world.push_by("dave", [page("shop", "production", "two")]);
    world.settle();
    world.approve("bob", "shop", "production").unwrap();
    let shown = |world: &mut World| world.ask(async |e| e.status(None).await).unwrap();
    let before = shown(&mut world).proposals;
    assert_eq!((before.len(), before[0].needed), (1, 2));
    world.fleet.set_reachable(false);
    world.restart();
    assert_eq!(shown(&mut world).proposals, before);
}

#[test]
fn votes_for_another_desired_hash_are_void() {
    let mut world = gated(2);
    world.push_by("dave", [page("shop", "production", "two")]);
    world.settle();
    world.approve("bob", "shop", "production").unwrap();
    world.push_by("dave", [page("shop", "production", "three")]);
    world.settle();
    world.approve("carol", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval", "a vote for another change was counted");
    assert_eq!(world.live(PRODUCTION).len(), 1);
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
}

#[test]
fn an_approval_is_void_when_the_desired_hash_changed_before_the_commit() {
    let mut world = gated(1);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0", "committed without approval");
    // The approval names 1.1.0 with the page of old; a person's edit is on the branch before ours.
    world.fleet.set_reachable(false);
    world.approve("bob", "shop", "production").unwrap();
    world.push_by("dave", [page("shop", "production", "two")]);
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!(world.live(PRODUCTION), ["1.0.0"], "what nobody approved went live");
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
    assert!(!world.questions("shop", "production").is_empty());
}

#[test]
fn an_approved_proposal_is_committed_and_rolled_out() {
    let mut world = gated(1);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1);
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.pinned("shop", "production"), "1.1.0");
    assert_eq!(world.running(PRODUCTION), "1.1.0");
    assert_eq!(world.own_commits().len(), 1);
    assert!(world.questions("shop", "production").is_empty(), "what was approved is asked again");
}

#[test]
fn an_authors_vote_is_not_counted() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    let refused = world.approve("alice", "shop", "production").unwrap_err().to_string();
    assert!(refused.contains("author"), "{refused}");
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
}

#[test]
fn an_authors_vote_is_not_counted_after_a_restart_either() {
    let mut world = gated(1);
    // Dhow dies between the commit and the question.
    world.kill();
    world.push_by("alice", [page("shop", "production", "two")]);
    world.start();
    world.restart();
    world.approve("alice", "shop", "production").unwrap_err();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
}

#[test]
fn the_author_of_an_earlier_commit_that_never_ran_is_an_author_too() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    world.push_by("dave", [("services/shop/static_file/production/more.txt".into(), "more".into())]);
    world.settle();
    world.approve("alice", "shop", "production").unwrap_err();
    assert_eq!(world.live(PRODUCTION).len(), 1, "alice approved her own page");
}

#[test]
fn as_many_distinct_people_as_are_needed_must_agree() {
    let mut world = gated(2);
    world.push_by("dave", [page("shop", "production", "two")]);
    world.settle();
    world.approve("alice", "shop", "production").unwrap();
    world.approve("alice", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval", "one person was counted twice");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
}

#[test]
fn someone_who_is_not_named_cannot_approve() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    let refused = world.approve("mallory", "shop", "production").unwrap_err().to_string();
    assert!(refused.contains("mallory"), "{refused}");
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
}

#[test]
fn who_asked_for_a_promotion_is_its_author() {
    let gates = "{ from: stage, approvals: { needed: 1, from: [alice, bob] } }";
    let files = [
        root(gates),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.1.0"),
        site("shop", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("shop/web", "1.1.0");
    world.start();
    world.reject("bob", "shop", "production").unwrap();
    world.promote("alice", "shop", "production").unwrap();
    world.approve("alice", "shop", "production").unwrap_err();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
}

#[test]
fn what_was_rejected_is_not_asked_again_until_it_is_resumed() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    world.reject("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "rejected");
    world.restart();
    assert!(world.questions("shop", "production").is_empty());
    assert_eq!(world.live(PRODUCTION).len(), 1);
    world.resume("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.phase(PRODUCTION), "succeeded");
}

#[test]
fn a_proposal_is_replaced_by_a_newer_set_until_its_first_approval() {
    let mut world = gated(2);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.publish("shop/web", "1.2.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1);
    world.approve("alice", "shop", "production").unwrap();
    world.publish("shop/web", "1.3.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1, "an approved set did not stand");
    world.approve("bob", "shop", "production").unwrap();
    assert!(world.live(PRODUCTION).contains(&"1.2.0".to_owned()), "{:?}", world.live(PRODUCTION));
    assert!(!world.live(PRODUCTION).contains(&"1.1.0".to_owned()));
}

#[test]
fn who_wrote_what_would_run_with_a_proposal_is_its_author_too() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    world.publish("shop/web", "1.1.0");
    world.settle();
    let ids: Vec<String> = world.questions("shop", "production").into_iter().map(|q| q.id).collect();
    for id in ids {
        let (who, shop, production) = (actor("alice"), name("shop"), place("production"));
        world.ask(async move |e| e.approve(&who, &shop, &production, Some(&id)).await).unwrap_err();
    }
    assert_eq!(world.live(PRODUCTION).len(), 1, "alice approved her own page");
}

#[test]
fn what_is_put_back_as_it_runs_is_not_asked_about_any_more() {
    let mut world = gated(1);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    world.push_by("alice", [page("shop", "production", "one")]);
    world.settle();
    assert!(world.questions("shop", "production").is_empty());
    assert_eq!(world.phase(PRODUCTION), "succeeded");
    assert_eq!(world.waits(PRODUCTION), "");
    assert_eq!(world.live(PRODUCTION).len(), 1);
}

#[test]
fn an_approved_image_is_not_asked_about_a_second_time() {
    let compose = "app/compose/production";
    let files = [
        root("{ approvals: { needed: 1, from: [alice, bob] } }"),
        image_service("app", "{ semver: '>=0' }"),
        stack("app", "compose", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("app/api", "1.0.0");
    world.start();
    world.approve("bob", "app", "production").unwrap();
    world.publish("app/api", "1.1.0");
    world.settle();
    world.approve("bob", "app", "production").unwrap();
    assert_eq!(world.phase(compose), "succeeded");
    assert_eq!(world.running(compose), "1.1.0");
}

#[test]
fn what_was_approved_and_cannot_be_committed_yet_is_told() {
    let mut world = gated(1);
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.publish("shop/web", "2.0.0");
    world.settle();
    world.approve("bob", "shop", "production").unwrap();
    let status = world.ask(async |e| e.status(None).await).unwrap();
    let row = &status.deployments[0];
    assert_eq!(row.waiting_for.as_deref(), Some("web 2.0.0 to be committed to the fleet"));
    assert_eq!(row.coming[0].tag.as_ref().map(|tag| tag.as_str()), Some("2.0.0"));
    assert!(status.problems.iter().any(|told| told.contains("a hook says no")), "{:?}", status.problems);
    world.fleet.refuse_pushes(None);
    world.settle();
    let status = world.ask(async |e| e.status(None).await).unwrap();
    assert_eq!((status.deployments[0].coming.len(), &status.deployments[0].waiting_for), (0, &None));
    assert_eq!((world.running(PRODUCTION), status.fleet_head), ("2.0.0".into(), None));
}

#[test]
fn gates_that_are_refused_are_told_as_a_problem() {
    let mut world = gated(2);
    world.push_by("alice", [root("{ approvals: { needed: 1, from: [alice, bob, carol] } }")]);
    world.settle();
    let status = world.ask(async |e| e.status(None).await).unwrap();
    let told = |problem: &String| {
        problem.contains("for production are not in force") && problem.contains("ask for less")
    };
    assert!(status.problems.iter().any(told), "{:?}", status.problems);
}

#[test]
fn a_no_to_one_version_holds_no_other_and_is_not_shown_as_if_it_did() {
    let mut world = gated(1);
    for (tag, yes) in [("2.0.0", false), ("3.0.0", true)] {
        world.publish("shop/web", tag);
        world.settle();
        match yes {
            true => world.approve("bob", "shop", "production").unwrap(),
            false => world.reject("bob", "shop", "production").unwrap(),
        };
        world.settle();
    }
    assert_eq!(world.running(PRODUCTION), "3.0.0");
    assert_eq!(world.ask(async |e| e.status(None).await).unwrap().holds, []);
}
