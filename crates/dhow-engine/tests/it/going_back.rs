//! What a person leaves with a rollback, while the fleet moves: all that stood gives way, what people write after it stays.

use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::rollout::{Hold, UpdateRow};
use dhow_engine::command::RollbackTo;
use dhow_testkit::PushFault;

use crate::support::fleet::{page, root, service, site, site_path};
use crate::support::{World, actor, deployment, name, place};

const STAGE: &str = "shop/static_file/stage";

fn at(tags: &[&str]) -> World {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", tags[0]),
        page("shop", "stage", "one"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", tags[0]);
    world.start();
    for tag in &tags[1..] {
        world.publish("shop/web", tag);
        world.settle();
    }
    assert_eq!(world.running(STAGE), tags[tags.len() - 1]);
    world
}

fn runs_and_is_pinned(world: &World, tag: &str) {
    assert_eq!((world.running(STAGE).as_str(), world.pinned("shop", "stage").as_str()), (tag, tag));
}

#[test]
fn who_goes_on_again_before_the_way_back_was_compared_gets_it() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    runs_and_is_pinned(&world, "1.0.0");
    world.rollback("alice", "shop", "stage", "2.0.0").unwrap();
    runs_and_is_pinned(&world, "2.0.0");
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    runs_and_is_pinned(&world, "2.0.0");
    assert_eq!(world.live(STAGE), ["1.0.0", "2.0.0", "1.0.0", "2.0.0"]);
    world.publish("shop/web", "3.0.0");
    world.settle();
    runs_and_is_pinned(&world, "3.0.0");
    assert!(world.list::<Hold>("").is_empty(), "{:?}", world.list::<Hold>(""));
}

#[test]
fn what_stood_in_the_fleet_uncompared_gives_way_to_a_rollback_and_is_not_rolled_out_before() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.publish("shop/web", "3.0.0");
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "3.0.0");
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "3.0.0".into()));
    let waits = world.waits(STAGE);
    assert!(waits.contains("rolled back by alice") && waits.contains("dhow resume shop stage"), "{waits}");
    world.restart();
    assert_eq!(world.running(STAGE), "1.0.0");
    world.fleet.refuse_pushes(None);
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
    assert_eq!(world.live(STAGE), ["1.0.0", "2.0.0", "1.0.0"]);
    assert_eq!(world.waits(STAGE), "");
    world.publish("shop/web", "4.0.0");
    world.settle();
    runs_and_is_pinned(&world, "4.0.0");
}

#[test]
fn what_is_being_compared_while_the_way_back_is_written_is_not_rolled_out() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.publish("shop/web", "3.0.0");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.pinned("shop", "stage"), "3.0.0");
    let (alice, shop, stage, to) =
        (actor("alice"), name("shop"), place("stage"), RollbackTo::Version("1.0.0".into()));
    world.try_ask(async |e| e.rollback(&alice, &shop, &stage, &to).await).unwrap().unwrap();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
    let runs = world.runs(STAGE);
    assert!(!runs.iter().any(|run| run.starts_with("3.0.0")), "{runs:?}");
}

#[test]
fn an_update_whose_push_has_just_arrived_gives_way_to_a_rollback_where_it_is_not_newer() {
    let [first, second, third] = ["first", "second", "third"].map(|text| Digest::of(text.as_bytes()));
    let file = (site_path("shop", "stage"), format!("bundle: r.test/shop/web:latest@{first}\n"));
    let mut world = World::new([root("{ update: commit }"), service("shop", "{ digest: latest }"), file]);
    world.publish_content("shop/web", "latest", "first");
    world.start();
    world.publish_content("shop/web", "latest", "second");
    world.settle();
    let pinned =
        |world: &World, digest: Digest| world.head(&site_path("shop", "stage")).contains(&digest.to_string());
    assert!(pinned(&world, second));
    world.fleet.fail_next_push(PushFault::ArrivesUnanswered);
    world.publish_content("shop/web", "latest", "third");
    while !pinned(&world, third) {
        world.pass(Duration::from_millis(50));
    }
    world.fleet.set_reachable(false);
    world.rollback("alice", "shop", "stage", &first.to_string()).unwrap();
    world.fleet.set_reachable(true);
    world.settle();
    assert!(pinned(&world, first), "{}", world.head(&site_path("shop", "stage")));
    assert_eq!(world.runs(STAGE).len(), 3, "{:?}", world.runs(STAGE));
}

#[test]
fn what_a_person_commits_after_a_rollback_stays_also_where_an_edit_that_waited_was_to_bring_it() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "2.0.0").unwrap();
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "3.0.0".into()));
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.settle();
    runs_and_is_pinned(&world, "2.0.0");
    world.fleet.refuse_pushes(None);
    world.settle();
    world.restart();
    runs_and_is_pinned(&world, "2.0.0");
    assert!(world.list::<UpdateRow>("").is_empty(), "{:?}", world.list::<UpdateRow>(""));
}

#[test]
fn what_a_person_committed_before_a_rollback_gives_way_also_where_it_was_not_compared_yet() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.settle();
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
}

#[test]
fn a_person_who_writes_something_else_into_the_file_after_a_rollback_does_not_keep_its_version() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    let (path, text) = site("shop", "stage", "2.0.0");
    world.push_by("bob", [(path, format!("# by bob\n{text}"))]);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "2.0.0".into()));
    world.fleet.refuse_pushes(None);
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
    assert!(!world.live(STAGE)[2..].contains(&"2.0.0".into()), "{:?}", world.live(STAGE));
}
