//! Quarantine: what failed is not selected here, nor in those promoted from here.

use dhow_core::noun::Digest;
use dhow_core::rollout::Quarantined;

use crate::support::fleet::{root, service, site, site_path};
use crate::support::{World, actor, deployment, name, place};

const STAGE: &str = "shop/static_file/stage";
const PRODUCTION: &str = "shop/static_file/production";

fn stage() -> World {
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=0' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world
}

#[test]
fn select_takes_the_next_acceptable_version() {
    let mut world = stage();
    world.kill();
    world.publish("shop/web", "1.1.0");
    world.publish_broken("shop/web", "1.2.0");
    world.start();
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.2.0 rolled_back", "1.1.0 succeeded"]);
}

#[test]
fn only_what_changed_is_quarantined() {
    let mut world = stage();
    let broken = world.publish_broken("shop/web", "1.1.0");
    world.settle();
    let quarantined = world.list::<Quarantined>("");
    assert_eq!(quarantined.iter().map(|q| q.pin.digest).collect::<Vec<_>>(), [broken]);
}

#[test]
fn what_leaves_quarantine_is_selected_again() {
    let mut world = stage();
    let digest = world.publish_broken("shop/web", "1.1.0");
    world.settle();
    world.dock(STAGE).mend_version(digest);
    let reference = format!("r.test/shop/web:1.1.0@{digest}").parse().unwrap();
    world
        .ask(async |e| e.quarantine_remove(&actor("alice"), &name("shop"), &place("stage"), &reference).await)
        .unwrap();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
}

#[test]
fn what_runs_and_leaves_quarantine_is_gone_back_to_in_the_fleet_too() {
    // A policy that takes neither again by itself.
    let files =
        [root("{ update: commit }"), service("shop", "{ semver: '>=9' }"), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    let first = world.publish("shop/web", "1.0.0");
    world.start();
    let reference = format!("r.test/shop/web:1.0.0@{first}").parse().unwrap();
    let (alice, shop, stage) = (actor("alice"), name("shop"), place("stage"));
    world.ask(async |e| e.quarantine_add(&alice, &shop, &stage, &reference, "it leaks").await).unwrap();
    world.publish_broken("shop/web", "2.0.0");
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "2.0.0".into()));
    assert!(world.waits(STAGE).contains("`dhow quarantine remove`"), "{}", world.waits(STAGE));
    let freed = world.ask(async |e| e.quarantine_remove(&alice, &shop, &stage, &reference).await).unwrap();
    assert!(freed.message.contains("the fleet goes back from what failed"), "{}", freed.message);
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "1.0.0".into()));
    assert_eq!(world.waits(STAGE), "");
}

#[test]
fn a_policy_that_follows_a_tag_keeps_its_pin_until_the_tag_moves_on() {
    let first = Digest::of(b"first");
    let file = (site_path("shop", "stage"), format!("bundle: r.test/shop/web:latest@{first}\n"));
    let mut world = World::new([root("{ update: commit }"), service("shop", "{ digest: latest }"), file]);
    world.publish_content("shop/web", "latest", "first");
    world.start();
    let second = Digest::of(b"second");
    world.dock(STAGE).break_version(None, second);
    world.publish_content("shop/web", "latest", "second");
    world.settle();
    world.settle();
    let head = |world: &World| world.head(&site_path("shop", "stage"));
    assert!(head(&world).contains(&first.to_string()), "{}", head(&world));
    assert_eq!(world.runs(STAGE).len(), 2, "{:?}", world.runs(STAGE));
    world.publish_content("shop/web", "latest", "third");
    world.settle();
    assert!(head(&world).contains(&Digest::of(b"third").to_string()), "{}", head(&world));
    assert_eq!(world.phase(STAGE), "succeeded");
}

/// Production takes what ran healthy on stage, without asking.
fn promoting() -> World {
    let files = [
        root("{ from: stage }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        site("shop", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world.settle();
    assert_eq!(world.running(PRODUCTION), "1.0.0");
    world
}

#[test]
fn a_failure_downstream_changes_nothing_upstream() {
    let mut world = promoting();
    let digest = Digest::of(b"shop/web:1.1.0");
    world.dock(PRODUCTION).break_version(Some(deployment(PRODUCTION)), digest);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.1.0".into(), "1.1.0".into()));
    assert_eq!(
        (world.running(PRODUCTION), world.pinned("shop", "production")),
        ("1.0.0".into(), "1.0.0".into())
    );
    assert_eq!(world.runs(PRODUCTION).len(), 2, "it was promoted again: {:?}", world.runs(PRODUCTION));
    let quarantined = world.list::<Quarantined>("");
    assert!(quarantined.iter().all(|q| q.environment == place("production")), "{quarantined:?}");
}

#[test]
fn what_failed_upstream_is_not_promoted_although_it_was_healthy_there_before() {
    let mut world = promoting();
    world.push_by("alice", [root("{ from: stage, approvals: { needed: 1, from: [bob] } }")]);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.questions("shop", "production").len(), 1);
    let reference = "r.test/shop/web:1.1.0".parse().unwrap();
    world
        .ask(async |e| {
            e.quarantine_add(&actor("bob"), &name("shop"), &place("stage"), &reference, "it leaks").await
        })
        .unwrap();
    world.approve("bob", "shop", "production").unwrap_err();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
    assert_eq!(world.running(PRODUCTION), "1.0.0");
}

#[test]
fn what_is_quarantined_after_its_approval_is_not_committed() {
    let mut world = promoting();
    world.push_by("alice", [root("{ from: stage, approvals: { needed: 1, from: [bob] } }")]);
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.fleet.set_reachable(false);
    world.approve("bob", "shop", "production").unwrap();
    let reference = "r.test/shop/web:1.1.0".parse().unwrap();
    world
        .ask(async |e| {
            e.quarantine_add(&actor("bob"), &name("shop"), &place("stage"), &reference, "it leaks").await
        })
        .unwrap();
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!(world.pinned("shop", "production"), "1.0.0");
}

#[test]
fn a_scope_that_the_fleet_does_not_have_is_refused() {
    let mut world = stage();
    let reference = format!("r.test/shop/web:2.0.0@{}", Digest::of(b"2")).parse().unwrap();
    for (service, environment, word) in
        [("shoop", "stage", "no service shoop"), ("shop", "stagee", "no environment stagee")]
    {
        let (alice, service, environment) = (actor("alice"), name(service), place(environment));
        let added =
            world.ask(async |e| e.quarantine_add(&alice, &service, &environment, &reference, "bad").await);
        let told = added.unwrap_err().to_string();
        assert!(told.contains(word), "{told}");
    }
    assert!(world.list::<Quarantined>("").is_empty());
}
