//! What a person leaves with a rollback, while the fleet moves: all that stood gives way, what people write after it stays.

use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::port::FileChange;
use dhow_core::rollout::{Event, Hold, Release, UpdateRow};
use dhow_engine::command::RollbackTo;
use dhow_testkit::PushFault;

use crate::holds::at;
use crate::support::fleet::{image_service, page, pinned, root, service, site, site_path, stack};
use crate::support::{World, actor, deployment, name, place};

const STAGE: &str = "shop/static_file/stage";

fn runs_and_is_pinned(world: &World, tag: &str) {
    assert_eq!((world.running(STAGE).as_str(), world.pinned("shop", "stage").as_str()), (tag, tag));
}

/// Nobody waits for what follows.
fn goes_back(world: &mut World, who: &str, to: &str) {
    let (who, shop, stage, to) = (actor(who), name("shop"), place("stage"), RollbackTo::Version(to.into()));
    world.try_ask(async |e| e.rollback(&who, &shop, &stage, &to).await).unwrap().unwrap();
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
    goes_back(&mut world, "alice", "1.0.0");
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
    // Nobody looks at the head meanwhile.
    world.settings.fleet_interval = Duration::from_secs(3600);
    world.publish_content("shop/web", "latest", "first");
    world.start();
    world.publish_content("shop/web", "latest", "second");
    world.settle();
    let says =
        |world: &World, digest: Digest| world.head(&site_path("shop", "stage")).contains(&digest.to_string());
    assert!(says(&world, second));
    world.fleet.fail_next_push(PushFault::ArrivesUnanswered);
    world.publish_content("shop/web", "latest", "third");
    while !says(&world, third) {
        world.pass(Duration::from_millis(1));
    }
    world.fleet.set_reachable(false);
    world.rollback("alice", "shop", "stage", &first.to_string()).unwrap();
    world.fleet.set_reachable(true);
    world.settle();
    assert!(says(&world, first), "{}", world.head(&site_path("shop", "stage")));
    assert_eq!(world.runs(STAGE).len(), 3, "{:?}", world.runs(STAGE));
}

#[test]
fn an_update_that_has_just_arrived_and_gives_way_lets_nothing_be_selected_that_was_left() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.settings.fleet_interval = Duration::from_secs(3600);
    world.restart();
    world.fleet.fail_next_push(PushFault::ArrivesUnanswered);
    let third = world.publish("shop/web", "3.0.0");
    while world.pinned("shop", "stage") != "3.0.0" {
        world.pass(Duration::from_millis(1));
    }
    world.fleet.set_reachable(false);
    goes_back(&mut world, "alice", "1.0.0");
    let reference = format!("r.test/shop/web:3.0.0@{third}").parse().unwrap();
    let (bob, shop, stage) = (actor("bob"), name("shop"), place("stage"));
    world.ask(async |e| e.quarantine_add(&bob, &shop, &stage, &reference, "it leaks").await).unwrap();
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.fleet.set_reachable(true);
    world.settle();
    assert_eq!((world.running(STAGE), world.pinned("shop", "stage")), ("1.0.0".into(), "3.0.0".into()));
    world.fleet.refuse_pushes(None);
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
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
    world.pass(Duration::from_secs(2));
    assert_eq!(world.pinned("shop", "stage"), "2.0.0");
    world.fleet.refuse_pushes(Some("a hook says no"));
    goes_back(&mut world, "alice", "1.0.0");
    world.pass(Duration::from_secs(2));
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    assert!(world.waits(STAGE).contains("rolled back by alice"), "{}", world.waits(STAGE));
    world.fleet.refuse_pushes(None);
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
    assert_eq!(world.live(STAGE), ["1.0.0", "2.0.0", "3.0.0", "1.0.0"]);
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

#[test]
fn what_a_person_commits_after_the_edit_arrived_stays_although_its_answer_was_lost() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.fleet.fail_next_push(PushFault::ArrivesUnanswered);
    goes_back(&mut world, "alice", "1.0.0");
    while world.pinned("shop", "stage") != "1.0.0" {
        world.pass(Duration::from_millis(50));
    }
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "2.0.0");
    // Where Dhow saw nothing of what was between, the fleet says what alice left, and bob is told how it goes on.
    let told = world.waits(STAGE).contains("dhow resume shop stage");
    assert!(told || world.running(STAGE) == "2.0.0", "{}", world.waits(STAGE));
    assert_eq!(world.own_commits().len(), 2, "{:?}", world.own_commits());
}

#[test]
fn who_asks_again_once_the_fleet_says_something_new_goes_back_from_that_too() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.publish("shop/web", "3.0.0");
    world.settle();
    assert_eq!(world.pinned("shop", "stage"), "3.0.0");
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    runs_and_is_pinned(&world, "1.0.0");
    let holds = world.told(|event| matches!(event, Event::Held { .. }));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    assert_eq!(world.told(|event| matches!(event, Event::Held { .. })), holds, "it was done again");
}

#[test]
fn a_row_tells_of_a_way_back_that_waits_and_of_its_failure() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    world.dock(STAGE).slow_down(deployment(STAGE));
    world.publish("shop/web", "3.0.0");
    world.settle();
    world.dock(STAGE).hang_in_render(deployment(STAGE));
    world.push_by("bob", [site("shop", "stage", "2.0.0")]);
    world.pass(Duration::from_secs(2));
    world.fleet.refuse_pushes(Some("a hook says no"));
    goes_back(&mut world, "alice", "1.0.0");
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.pass(Duration::from_secs(1));
    world.dock(STAGE).break_version(None, Digest::of(b"shop/web:1.0.0"));
    world.dock(STAGE).let_go(&deployment(STAGE));
    world.settle();
    assert_eq!(world.phase(STAGE), "stalled");
    let reason = world.row(STAGE).reason.unwrap_or_default();
    assert!(reason.contains("1.0.0"), "{reason}");
}

#[test]
fn other_files_that_were_not_compared_yet_are_left_like_those_that_were() {
    for compared in [true, false] {
        let mut world = at(&["1.0.0", "2.0.0"]);
        let first = world.row(STAGE).running;
        if !compared {
            world.dock(STAGE).hang_in_next_render(deployment(STAGE));
        }
        world.content_of("shop/web", "3.0.0");
        world.push_by("bob", [site("shop", "stage", "3.0.0"), page("shop", "stage", "two")]);
        world.pass(Duration::from_secs(2));
        goes_back(&mut world, "alice", "2.0.0");
        world.pass(Duration::from_secs(2));
        world.dock(STAGE).render_again(&deployment(STAGE));
        world.settle();
        assert_eq!(world.row(STAGE).running, first, "compared: {compared}, {:?}", world.runs(STAGE));
        let waits = world.waits(STAGE);
        assert!(waits.contains("dhow resume shop stage"), "compared: {compared}: {waits}");
    }
}

#[test]
fn a_folder_that_is_moved_after_a_rollback_does_not_keep_its_version() {
    let mut world = at(&["1.0.0", "2.0.0", "3.0.0"]);
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    let old = [site_path("shop", "stage"), page("shop", "stage", "").0];
    let moved = |path: &String| (path.replace("/stage/", "/staging/"), world.head(path));
    let new: Vec<_> = old.iter().map(moved).collect();
    let gone = old.iter().map(|path| FileChange { path: path.clone(), content: None });
    let came = new.into_iter().map(|(path, text)| FileChange { path, content: Some(text.into_bytes()) });
    world.fleet.person_commits(gone.chain(came).collect(), "bob");
    world.nudge_fleet();
    world.settle();
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!(world.running(STAGE), "1.0.0", "{:?}", world.runs(STAGE));
}

const COMPOSE: &str = "shop/compose/stage";

/// A Compose file with these images.
fn images(images: &[(&str, String)]) -> (String, String) {
    let mut text = "services:\n".to_owned();
    for (name, image) in images {
        text.push_str(&format!("  {name}:\n    image: r.test/{image}\n"));
    }
    ("services/shop/compose/stage/compose.yaml".to_owned(), text)
}

fn with_artifacts(names: &[&str], file: (String, String)) -> World {
    let mut text = "artifacts:\n".to_owned();
    for name in names {
        text.push_str(&format!("  {name}: {{ image: r.test/shop/{name}, policy: {{ semver: '>=0' }} }}\n"));
    }
    World::new([root("{ update: commit }"), ("services/shop/dhow.yaml".to_owned(), text), file])
}

#[test]
fn a_version_that_is_lowered_beside_one_that_is_about_to_go_back_is_held() {
    let file = |api, db| images(&[("api", pinned("shop/api", api)), ("db", pinned("shop/db", db))]);
    let mut world = with_artifacts(&["api", "db"], file("1.0.0", "4.0.0"));
    world.publish("shop/api", "1.0.0");
    world.publish("shop/db", "4.0.0");
    world.start();
    world.publish("shop/db", "5.0.0");
    world.settle();
    world.publish("shop/api", "2.0.0");
    world.settle();
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.push_by("bob", [file("2.0.0", "4.0.0")]);
    world.settle();
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!(world.head(&file("", "").0), file("1.0.0", "4.0.0").1);
    assert_eq!(world.running(COMPOSE), "1.0.0+4.0.0");
}

#[test]
fn a_version_without_a_tag_that_is_left_hides_no_other() {
    let file = |image: String| images(&[("api", image)]);
    let mut world = with_artifacts(&["api"], file(pinned("shop/api", "1.0.0")));
    world.publish("shop/api", "1.0.0");
    world.start();
    for tag in ["2.0.0", "3.0.0"] {
        world.publish("shop/api", tag);
        world.settle();
    }
    world.dock(COMPOSE).hang_in_render(deployment(COMPOSE));
    world.push_by("bob", [file(format!("shop/api@{}", Digest::of(b"shop/api:2.0.0")))]);
    world.pass(Duration::from_secs(2));
    world.fleet.refuse_pushes(Some("a hook says no"));
    goes_back(&mut world, "alice", "1.0.0");
    world.dock(COMPOSE).render_again(&deployment(COMPOSE));
    world.settle();
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!(world.running(COMPOSE), "1.0.0", "{:?}", world.runs(COMPOSE));
}

#[test]
fn what_a_person_wrote_after_a_rollback_stays_although_something_else_fails_meanwhile() {
    let swarm = "shop/swarm/stage";
    let mut world = World::new([
        root("{ update: commit }"),
        image_service("shop", "{ semver: '>=9' }"),
        stack("shop", "compose", "stage", "1.0.0"),
        stack("shop", "swarm", "stage", "1.0.0"),
    ]);
    world.publish("shop/api", "1.0.0");
    world.start();
    for tag in ["2.0.0", "3.0.0"] {
        world.content_of("shop/api", tag);
        world.push_by("bob", [stack("shop", "compose", "stage", tag), stack("shop", "swarm", "stage", tag)]);
        world.settle();
    }
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "2.0.0").unwrap();
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.push_by("bob", [stack("shop", "compose", "stage", "2.0.0")]);
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(swarm)), ("2.0.0".into(), "1.0.0".into()));
    let broken = world.content_of("shop/api", "4.0.0");
    world.dock(swarm).break_version(None, broken);
    world.push_by("carol", [stack("shop", "swarm", "stage", "4.0.0")]);
    world.settle();
    world.fleet.refuse_pushes(None);
    world.settle();
    assert_eq!((world.running(COMPOSE), world.running(swarm)), ("2.0.0".into(), "1.0.0".into()));
    assert!(world.head(&stack("shop", "compose", "stage", "").0).contains("2.0.0"));
}

#[test]
fn a_merge_of_a_branch_that_never_had_the_version_does_not_keep_it() {
    let mut world = at(&["1.0.0"]);
    let base = world.fleet.remote(&crate::support::main()).unwrap();
    for tag in ["2.0.0", "3.0.0"] {
        world.publish("shop/web", tag);
        world.settle();
    }
    world.fleet.refuse_pushes(Some("a hook says no"));
    world.rollback("alice", "shop", "stage", "2.0.0").unwrap();
    let noted = |tag| {
        let (path, text) = site("shop", "stage", tag);
        [FileChange { path, content: Some(format!("# by bob\n{text}").into_bytes()) }]
    };
    world.fleet.person_merges(&base, &noted("1.0.0"), &noted("3.0.0"), "bob");
    world.nudge_fleet();
    world.settle();
    world.fleet.refuse_pushes(None);
    world.settle();
    runs_and_is_pinned(&world, "2.0.0");
}

#[test]
fn who_asks_again_once_the_fleet_has_other_files_goes_back_from_them_too() {
    let mut world = at(&["1.0.0", "2.0.0"]);
    let first = world.list::<Release>(STAGE).into_iter().min_by_key(|release| release.healthy_at_ms).unwrap();
    world.rollback("alice", "shop", "stage", "1.0.0").unwrap();
    world.dock(STAGE).hang_in_next_render(deployment(STAGE));
    world.push_by("bob", [page("shop", "stage", "two")]);
    world.pass(Duration::from_secs(2));
    goes_back(&mut world, "alice", "1.0.0");
    world.dock(STAGE).render_again(&deployment(STAGE));
    world.settle();
    assert_eq!(world.row(STAGE).running, Some(first.hash), "{:?}", world.runs(STAGE));
    assert!(world.waits(STAGE).contains("dhow resume shop stage"), "{}", world.waits(STAGE));
}
