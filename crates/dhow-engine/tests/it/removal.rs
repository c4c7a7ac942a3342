//! Removal, and its guard.

use crate::support::fleet::{root, service, site, site_path};
use crate::support::{Cut, World, actor, deployment, name, place};
use dhow_core::rollout::Event;

fn world(production: &str, services: &[&str]) -> World {
    let mut files = vec![root(production)];
    for name in services {
        files.push(service(name, "{ semver: '>=0' }"));
        files.push(site(name, "stage", "1.0.0"));
    }
    let mut world = World::new(files);
    for name in services {
        world.publish(&format!("{name}/web"), "1.0.0");
    }
    world.start();
    world
}

/// Two services in production, where people are asked; nobody has answered.
fn in_production() -> World {
    let files = [
        root("{ approvals: { needed: 1, from: [alice, bob] } }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "production", "1.0.0"),
        service("blog", "{ semver: '>=0' }"),
        site("blog", "production", "1.0.0"),
    ];
    let mut world = World::new(files);
    world.publish("shop/web", "1.0.0");
    world.publish("blog/web", "1.0.0");
    world.start();
    world
}

#[test]
fn a_commit_that_removes_one_of_several_removes_it() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.remove_by("alice", &[&site_path("shop", "stage"), "services/shop/dhow.yaml"]);
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
    assert_eq!(world.told(|e| matches!(e, Event::Removed { .. })), 1);
}

#[test]
fn a_removal_that_happened_while_dhow_was_down_is_done() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.kill();
    world.remove_by("alice", &[&site_path("shop", "stage"), "services/shop/dhow.yaml"]);
    world.start();
    assert_eq!(world.running("shop/static_file/stage"), "");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
}

#[test]
fn a_commit_that_removes_all_services_stalls_until_confirmed() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.remove_by("alice", &[&site_path("shop", "stage"), &site_path("blog", "stage")]);
    world.settle();
    world.restart();
    for id in ["shop/static_file/stage", "blog/static_file/stage"] {
        assert_eq!(world.running(id), "1.0.0", "{id} was removed without a word");
        assert!(world.waits(id).contains("dhow sync"), "{}", world.waits(id));
    }
    world.push_by("alice", [("readme.md".into(), "something else\n".into())]);
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "1.0.0", "the next commit let it through");
    world.sync("alice", "shop", "stage").unwrap();
    assert_eq!(world.running("shop/static_file/stage"), "");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0", "more was removed than confirmed");
}

#[test]
fn more_than_five_at_once_stall() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut world = world("{ update: commit }", &names);
    let paths: Vec<String> = names[..6].iter().map(|n| site_path(n, "stage")).collect();
    world.remove_by("alice", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    world.settle();
    assert!(names.iter().all(|n| world.running(&format!("{n}/static_file/stage")) == "1.0.0"));
}

#[test]
fn too_much_at_once_stays_so_when_dhow_dies_among_it() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let paths: Vec<String> = names[..7].iter().map(|n| site_path(n, "stage")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for stalled in 1..7 {
        let mut world = world("{ update: commit }", &names);
        world.store.cut_at(Cut::After(world.store.batches().len() + stalled));
        world.remove_by("alice", &paths);
        world.settle();
        for name in names {
            let id = format!("{name}/static_file/stage");
            assert_eq!(world.running(&id), "1.0.0", "{id} went, as Dhow died after {stalled} of 7");
            assert_eq!(world.waits(&id).contains("dhow sync"), name != "h", "{}", world.waits(&id));
        }
    }
}

#[test]
fn what_comes_back_before_it_is_confirmed_is_not_removed() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.remove_by("alice", &[&site_path("shop", "stage"), &site_path("blog", "stage")]);
    world.settle();
    world.push_by("alice", [site("shop", "stage", "1.0.0"), site("blog", "stage", "1.0.0")]);
    world.settle();
    assert!(world.row("shop/static_file/stage").removal.is_none());
    assert_eq!(world.waits("shop/static_file/stage"), "");
    world.publish("shop/web", "1.1.0");
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "1.1.0");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_removed() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.push_by("alice", [("dhow.yaml".into(), "environments: [\n".into())]);
    world.remove_by("alice", &[&site_path("shop", "stage")]);
    world.settle();
    world.push_by("alice", [(site_path("blog", "stage"), "bundle: [\n".into())]);
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "1.0.0");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
    // Mended: what is really gone is removed, what was broken is not.
    world.push_by("alice", [root("{ update: commit }")]);
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "", "a removal was forgotten");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
}

#[test]
fn a_removal_waits_for_the_approvals_of_its_environment() {
    let mut world = in_production();
    world.approve("bob", "shop", "production").unwrap();
    world.approve("bob", "blog", "production").unwrap();
    world.remove_by("alice", &[&site_path("shop", "production")]);
    world.settle();
    world.restart();
    assert_eq!(world.running("shop/static_file/production"), "1.0.0");
    world.approve("bob", "shop", "production").unwrap();
    assert_eq!(world.running("shop/static_file/production"), "");
}

#[test]
fn nobody_is_asked_about_the_removal_of_what_is_there_again() {
    let mut world = in_production();
    world.approve("bob", "shop", "production").unwrap();
    world.remove_by("alice", &[&site_path("shop", "production")]);
    world.settle();
    world.push_by("alice", [site("shop", "production", "1.0.0")]);
    world.settle();
    world.approve("bob", "shop", "production").unwrap_err();
    assert_eq!(world.running("shop/static_file/production"), "1.0.0");
    assert_eq!(world.waits("shop/static_file/production"), "");
}

#[test]
fn a_confirmed_removal_confirms_no_other_one_after_a_restart() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.remove_by("alice", &[&site_path("shop", "stage"), &site_path("blog", "stage")]);
    world.settle();
    world.sync("alice", "shop", "stage").unwrap();
    world.kill();
    world.push_by("alice", [("readme.md".into(), "something else\n".into())]);
    world.start();
    assert_eq!(world.running("shop/static_file/stage"), "");
    assert_eq!(world.running("blog/static_file/stage"), "1.0.0");
}

#[test]
fn a_removal_that_fails_is_tried_again() {
    let mut world = world("{ update: commit }", &["shop", "blog"]);
    world.dock("shop/static_file/stage").refuse_removals(2);
    world.remove_by("alice", &[&site_path("shop", "stage"), "services/shop/dhow.yaml"]);
    world.publish("blog/web", "1.1.0");
    world.settle();
    assert_eq!(world.running("shop/static_file/stage"), "");
    assert_eq!(world.running("blog/static_file/stage"), "1.1.0");
}

#[test]
fn what_left_the_fleet_is_not_rolled_out_though_people_said_yes_before() {
    let mut world = in_production();
    let asked = world.questions("shop", "production")[0].id.clone();
    world.remove_by("alice", &[&site_path("shop", "production")]);
    world.settle();
    let (bob, shop, production) = (actor("bob"), name("shop"), place("production"));
    let answer = world.ask(async |e| e.approve(&bob, &shop, &production, Some(&asked)).await);
    assert!(answer.is_err(), "its rollout is still asked about");
    assert_eq!(world.running("shop/static_file/production"), "");
    assert_eq!(world.runs("shop/static_file/production"), ["1.0.0 superseded"]);
    assert!(world.waits("shop/static_file/production").contains("approval of its removal"));
    let said = world.sync("alice", "shop", "production").unwrap().message;
    assert_eq!(said, "a removal waits for approval: `dhow approve shop production`");
}

#[test]
fn a_rollout_that_ends_says_nothing_of_the_removal_that_people_are_asked_about() {
    let mut world = in_production();
    let id = "shop/static_file/production";
    world.dock(id).slow_down(deployment(id));
    world.approve("bob", "shop", "production").unwrap();
    world.remove_by("alice", &[&site_path("shop", "production")]);
    world.settle();
    world.dock(id).let_go(&deployment(id));
    world.settle();
    assert_eq!(world.phase(id), "succeeded");
    assert!(world.waits(id).contains("approval of its removal"), "{}", world.waits(id));
}
