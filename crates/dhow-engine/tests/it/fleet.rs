//! Updates, and the fleet as people change it meanwhile.

use dhow_core::rollout::{Event, Quarantined};
use dhow_testkit::{PushFault, SourceCall};

use std::time::Duration;

use dhow_engine::command::RollbackTo;

use crate::support::fleet::{page, root, service, site, site_path};
use crate::support::{World, actor, changes, name, place};

const STAGE: &str = "shop/static_file/stage";
const BLOG: &str = "blog/static_file/stage";

/// shop and blog run 1.0.0 on stage.
fn two() -> World {
    let mut world = founded();
    world.start();
    world
}

/// The same before Dhow starts.
fn founded() -> World {
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        service("blog", "{ semver: '>=0' }"),
        site("blog", "stage", "1.0.0"),
    ];
    let world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("blog/web", "1.0.0");
    world
}

#[test]
fn ten_thousand_nudges_at_once_become_one_look_and_lose_nothing() {
    let mut world = founded();
    // How many looks there are in some time must not be a matter of luck.
    world.settings.jitter = 0.0;
    world.start();
    let looks = |world: &mut World, nudges: usize| {
        let before = world.source.calls(SourceCall::Tags);
        for _ in 0..nudges {
            world.nudge("shop/web");
        }
        world.settle();
        world.source.calls(SourceCall::Tags) - before
    };
    let idle = looks(&mut world, 0);
    world.content_of("shop/web", "1.1.0");
    let flooded = looks(&mut world, 10_000);
    assert!(flooded <= idle + 2, "{flooded} looks, {idle} without a nudge");
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_new_version_is_committed_and_rolled_out_once() {
    let mut world = two();
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.own_commits(), ["shop stage: web 1.1.0 (selected by its policy)"]);
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded", "1.1.0 succeeded"]);
    assert!(world.head(&site_path("shop", "stage")).ends_with("# kept\n"));
    world.restart();
    assert_eq!(world.runs(STAGE).len(), 2, "a restart rolled out again");
    assert_eq!(world.own_commits().len(), 1);
}

#[test]
fn versions_found_in_one_pass_are_one_commit() {
    let mut world = two();
    world.publish("shop/web", "1.1.0");
    world.publish("blog/web", "1.1.0");
    world.settle();
    assert_eq!(world.own_commits(), ["update 2 services"]);
    assert_eq!((world.running(STAGE), world.running(BLOG)), ("1.1.0".into(), "1.1.0".into()));
}

#[test]
fn a_way_back_waits_for_no_pass() {
    let mut world = founded();
    world.settings.gather = Duration::from_secs(60);
    world.start();
    world.publish("shop/web", "1.1.0");
    world.settle();
    let before = world.own_commits().len();
    world.source.set_far(Duration::from_secs(30));
    world.nudge("blog/web");
    world.pass(Duration::from_secs(1));
    let (actor, shop, stage) = (actor("alice"), name("shop"), place("stage"));
    let to = RollbackTo::Version("1.0.0".into());
    world.try_ask(async |e| e.rollback(&actor, &shop, &stage, &to).await).unwrap().unwrap();
    world.pass(Duration::from_secs(5));
    assert_eq!(world.own_commits().len(), before + 1);
}

#[test]
fn a_repushed_tag_is_told_once_and_not_followed() {
    let mut world = two();
    world.publish_content("shop/web", "1.0.0", "something else");
    world.settle();
    world.settle();
    world.restart();
    world.settle();
    assert_eq!(world.own_commits(), Vec::<String>::new());
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded"]);
    assert_eq!(world.told(|e| matches!(e, Event::TagMoved { .. })), 1);
}

#[test]
fn a_tag_written_by_a_person_stays_what_it_was_when_it_was_first_seen() {
    let mut world = two();
    world.publish("shop/web", "1.1.0");
    let by_tag = "bundle: r.test/shop/web:1.1.0\n".to_owned();
    world.push_by("alice", [(site_path("shop", "stage"), by_tag)]);
    world.settle();
    world.publish_content("shop/web", "1.1.0", "something else");
    world.settle();
    world.push_by("alice", [page("shop", "stage", "two")]);
    world.settle();
    let row = world.row(STAGE);
    let digest = dhow_core::noun::Digest::of(b"shop/web:1.1.0");
    assert!(row.desired_pins.values().all(|pin| pin.digest == digest), "{:?}", row.desired_pins);
}

#[test]
fn an_edit_pushed_by_a_person_while_ours_is_under_way_survives() {
    let mut world = two();
    let (path, text) = site("shop", "stage", "1.0.0");
    let theirs = (path.clone(), format!("# said by alice\n{text}"));
    let pushed = changes([theirs, page("blog", "stage", "by alice")]);
    world.fleet.fail_next_push(PushFault::Overtaken(pushed, "alice".into()));
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert!(world.head(&path).starts_with("# said by alice\n"), "{}", world.head(&path));
    assert_eq!(world.head(&page("blog", "stage", "").0), "by alice\n");
    assert_eq!(world.pinned("shop", "stage"), "1.1.0");
    assert_eq!(world.own_commits().len(), 1);
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_person_who_pins_the_version_that_ours_would_have_makes_ours_needless() {
    let mut world = two();
    let pushed = changes([site("shop", "stage", "1.1.0")]);
    world.fleet.fail_next_push(PushFault::Overtaken(pushed, "alice".into()));
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.own_commits(), Vec::<String>::new());
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_push_that_arrived_although_the_answer_was_lost_is_not_repeated() {
    let mut world = two();
    world.fleet.fail_next_push(PushFault::ArrivesUnanswered);
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.own_commits().len(), 1);
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.told(|e| matches!(e, Event::CommitDone { .. })), 1);
}

#[test]
fn a_push_that_fails_is_tried_again() {
    for fault in [PushFault::Unreachable, PushFault::Refused("no".into()), PushFault::Moved] {
        let mut world = two();
        world.fleet.fail_next_push(fault);
        world.publish("shop/web", "1.1.0");
        world.settle();
        assert_eq!(world.own_commits().len(), 1);
        assert_eq!(world.running(STAGE), "1.1.0");
    }
}

#[test]
fn a_registry_that_fails_costs_time_and_nothing_else() {
    let mut world = two();
    let error = || dhow_core::port::SourceError::Unavailable { message: "503".into(), retry_after: None };
    for call in [SourceCall::Tags, SourceCall::Resolve, SourceCall::Describe] {
        world.source.fail_next(call, error());
    }
    world.publish("shop/web", "1.1.0");
    world.settle();
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
    assert_eq!(world.own_commits().len(), 1);
}

/// shop runs 1.0.0, and only people change its version.
fn pinned_by_people() -> World {
    let plain = "artifacts:\n  web: { bundle: r.test/shop/web }\n".to_owned();
    let files = [("services/shop/dhow.yaml".into(), plain), site("shop", "stage", "1.0.0")];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.start();
    world
}

fn by_tag(tag: &str) -> (String, String) {
    (site_path("shop", "stage"), format!("bundle: r.test/shop/web:{tag}\n"))
}

#[test]
fn a_commit_whose_registry_did_not_answer_is_looked_at_again() {
    let down = || dhow_core::port::SourceError::Unavailable { message: "503".into(), retry_after: None };
    for restarted in [false, true] {
        let mut world = pinned_by_people();
        world.content_of("shop/web", "1.1.0");
        world.source.set_down(Some(down()));
        world.push_by("alice", [by_tag("1.1.0")]);
        world.settle();
        if restarted {
            world.restart();
        }
        assert_eq!(world.running(STAGE), "1.0.0");
        assert!(world.waits(STAGE).contains("503"), "{}", world.waits(STAGE));
        world.source.set_down(None);
        world.settle();
        assert_eq!(world.running(STAGE), "1.1.0");
        assert_eq!(world.waits(STAGE), "");
        assert_eq!(world.runs(STAGE).len(), 2);
    }
}

#[test]
fn a_tag_that_is_published_after_its_commit_is_rolled_out_then() {
    let mut world = pinned_by_people();
    world.push_by("alice", [by_tag("1.1.0")]);
    world.settle();
    assert!(world.waits(STAGE).contains("1.1.0"), "{}", world.waits(STAGE));
    world.push_by("alice", [("readme.md".into(), "meanwhile\n".into())]);
    world.settle();
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_commit_that_cannot_be_rolled_out_and_is_taken_back_leaves_no_trace() {
    let mut world = pinned_by_people();
    world.push_by("alice", [by_tag("9.9.9")]);
    world.settle();
    world.push_by("alice", [site("shop", "stage", "1.0.0")]);
    world.settle();
    assert_eq!(world.waits(STAGE), "");
    assert_eq!(world.row(STAGE).reason, None);
    assert_eq!(world.runs(STAGE), ["1.0.0 succeeded"]);
}

#[test]
fn a_broken_file_freezes_only_what_depends_on_it() {
    let mut world = two();
    world.push_by("alice", [(site_path("shop", "stage"), "bundle: [\n".into())]);
    world.settle();
    world.publish("shop/web", "1.1.0");
    world.publish("blog/web", "1.1.0");
    world.settle();
    assert_eq!(world.running(STAGE), "1.0.0", "what cannot be read was touched");
    assert_eq!(world.running(BLOG), "1.1.0", "a broken file held up another service");
    assert!(world.list::<Quarantined>("").is_empty(), "an innocent version is quarantined");
    world.push_by("alice", [site("shop", "stage", "1.0.0")]);
    world.settle();
    assert_eq!(world.running(STAGE), "1.1.0");
}

#[test]
fn a_broken_service_file_freezes_the_service_and_no_other() {
    let mut world = two();
    world.push_by("alice", [("services/shop/dhow.yaml".into(), "artifacts: [\n".into())]);
    world.settle();
    world.publish("shop/web", "1.1.0");
    world.publish("blog/web", "1.1.0");
    world.settle();
    world.restart();
    assert_eq!(world.running(STAGE), "1.0.0");
    assert_eq!(world.running(BLOG), "1.1.0");
    assert!(world.list::<Quarantined>("").is_empty());
}

#[test]
fn a_broken_root_file_changes_nothing_until_it_is_mended() {
    let mut world = two();
    world.push_by("alice", [("dhow.yaml".into(), "environments: [\n".into()), page("shop", "stage", "two")]);
    world.settle();
    world.restart();
    assert_eq!(world.runs(STAGE).len(), 1);
    world.push_by("alice", [root("{ update: commit }")]);
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 2, "what was committed meanwhile was forgotten");
}

#[test]
fn a_force_pushed_branch_is_followed_and_told() {
    let mut world = two();
    let files = [
        root("{ update: commit }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        page("shop", "stage", "other"),
        service("blog", "{ semver: '>=0' }"),
        site("blog", "stage", "1.0.0"),
    ];
    world.fleet.force_push(changes(files), "alice");
    world.nudge_fleet();
    world.settle();
    assert_eq!(world.runs(STAGE).len(), 2);
    assert_eq!(world.runs(BLOG).len(), 1);
    assert_eq!(world.told(|e| matches!(e, Event::FleetMoved { forced: true, .. })), 1);
}
