//! A fleet's remote that refuses pushes, has diverged, or is gone for a while.

use std::os::unix::fs::PermissionsExt as _;

use super::{HOST, fleet, once_each, page, shop, told};
use crate::support::visitors::Visitors;
use crate::support::{Fleet, site};

/// The remote refuses every push, in its own words.
fn refuse(fleet: &Fleet) {
    let hook = fleet.bare().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'No pushes on Fridays.' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// It takes them again.
fn take(fleet: &Fleet) {
    std::fs::remove_file(fleet.bare().join("hooks/pre-receive")).unwrap();
}

#[tokio::test]
async fn a_remote_that_refuses_pushes_for_a_while_is_told_once_in_its_own_words_and_then_gets_one_commit() {
    let fleet = fleet().await;
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    refuse(&fleet);
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    told(&serve, &["the fleet's remote refuses our commits", "No pushes on Fridays."]).await;
    let said = serve.dhow(&["status"]).await.ok().stderr;
    assert!(said.contains("No pushes on Fridays."), "{said}");
    take(&fleet);
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
    let failed = serve.events("commit_failed").await;
    assert_eq!(failed.len(), 1, "told once: {failed:#?}");
    assert!(serve.get("status").await["problems"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_remote_that_has_diverged_while_it_refused_gets_the_update_on_its_new_history() {
    let fleet = fleet().await;
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    refuse(&fleet);
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    told(&serve, &["No pushes on Fridays."]).await;
    // The same files, in a history that has nothing in common with the one that the update was made for.
    fleet.in_work(&["pull", "--quiet", "--rebase", "origin", "main"]).await.ok();
    fleet.in_work(&["checkout", "--quiet", "--orphan", "other"]).await.ok();
    fleet.write(&[("note.txt", "another history\n")]);
    fleet.in_work(&["add", "--all"]).await.ok();
    fleet.in_work(&["commit", "--quiet", "-m", "another history"]).await.ok();
    take(&fleet);
    fleet.in_work(&["push", "--quiet", "--force", "origin", "other:main"]).await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    let log = fleet.log().await;
    assert_eq!(log.len(), 2, "one commit on the new history, and nothing of the old one: {log:#?}");
    assert!(log[0].contains("web 2.0.0") && log[1] == "another history", "{log:#?}");
    let moved = serve.events("fleet_moved").await;
    assert!(moved.iter().any(|event| event["forced"] == true), "{moved:#?}");
    assert_eq!(serve.events("rollout_queued").await.len(), 2);
}

#[tokio::test]
async fn a_remote_that_is_gone_for_a_while_is_told_and_what_came_meanwhile_is_not_lost() {
    let fleet = fleet().await;
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    let away = fleet.folder().join("away.git");
    std::fs::rename(fleet.bare(), &away).unwrap();
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    told(&serve, &["the fleet cannot be read, what runs is not touched", "fleet.git"]).await;
    assert_eq!(serve.row("shop", "stage").await["health"], "healthy");
    std::fs::rename(&away, fleet.bare()).unwrap();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}

#[tokio::test]
async fn probes_before_the_fleet_was_read_are_answered_and_do_not_fill_the_log() {
    let fleet = fleet().await;
    let gone = format!("file://{}", fleet.folder().join("nowhere.git").display());
    let serve = fleet.serve().url(gone).start().await;
    for _ in 0..3 {
        let answer = reqwest::get(format!("http://{}/readyz", serve.api)).await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.text().await.unwrap().contains("the fleet was not read yet"));
    }
    let said = serve.said();
    assert!(!said.contains("503") && !said.contains("a request"), "{said}");
}
