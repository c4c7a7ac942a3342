//! Gates in force: looser ones do not take force by a commit, stricter ones do at once.

use crate::support::World;
use crate::support::fleet::{page, root, service, site};

const PRODUCTION: &str = "shop/static_file/production";

fn world(gates: &str) -> World {
    let files = [
        root(gates),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "production", "1.0.0"),
        page("shop", "production", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world
}

#[test]
fn a_commit_that_loosens_gates_does_not_take_force() {
    for looser in [
        "{}",
        "{ approvals: { needed: 1, from: [alice, bob] } }",
        "{ approvals: { needed: 2, from: [alice, bob, mallory] } }",
        "{ approvals: { needed: 2, from: [alice, bob], author_may_approve: true } }",
    ] {
        let mut world = world("{ approvals: { needed: 2, from: [alice, bob] } }");
        world.push_by("mallory", [root(looser), page("shop", "production", "mine")]);
        world.settle();
        world.restart();
        assert_eq!(world.phase(PRODUCTION), "awaiting_approval", "{looser} took force");
        world.approve("mallory", "shop", "production").unwrap_err();
        world.approve("alice", "shop", "production").unwrap();
        assert_eq!(world.phase(PRODUCTION), "awaiting_approval", "{looser} took force");
        world.approve("bob", "shop", "production").unwrap();
        assert_eq!(world.phase(PRODUCTION), "succeeded");
    }
}

#[test]
fn a_commit_that_makes_gates_stricter_takes_force_at_once() {
    let mut world = world("{ update: commit }");
    assert_eq!(world.phase(PRODUCTION), "succeeded");
    let strict = root("{ approvals: { needed: 1, from: [alice, bob] } }");
    world.push_by("dave", [strict, page("shop", "production", "two")]);
    world.settle();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    assert_eq!(world.live(PRODUCTION).len(), 1);
}

#[test]
fn removing_an_environment_from_the_root_file_does_not_loosen_its_gates() {
    let mut world = world("{ approvals: { needed: 1, from: [alice, bob] } }");
    world.approve("alice", "shop", "production").unwrap();
    world.push_by(
        "mallory",
        [("dhow.yaml".into(), "environments: {}\n".into()), page("shop", "production", "x")],
    );
    world.settle();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    world.restart();
    assert_eq!(world.phase(PRODUCTION), "awaiting_approval");
    assert_eq!(world.live(PRODUCTION).len(), 1);
}
