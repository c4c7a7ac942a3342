//! A disk that is full, or cannot be written: of the state, of the releases, of the registry, each in turn.

use super::{HOST, fleet, once_each, page, shop, told};
use crate::support::process::run;
use crate::support::site;
use crate::support::visitors::Visitors;
use dhow_testkit::Tmpfs;

/// Files that need more than the last bytes of a disk.
fn heavy(text: &str) -> Vec<(&'static str, String)> {
    // What repeats would be packed away.
    let noise: String =
        (0..20_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    [site(text), vec![("noise.txt", noise)]].concat()
}

#[tokio::test]
async fn a_full_disk_of_the_releases_is_told_with_its_place_and_the_rollout_goes_on_when_there_is_room() {
    let fleet = fleet().await;
    let releases = fleet.folder().join("state/static");
    let Some(disk) = Tmpfs::mount(&releases, 8) else { return };
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    disk.fill();
    serve.publish(&heavy("two"), "shop/web:2.0.0").await.ok();
    let at = releases.display().to_string();
    told(&serve, &["No space left on device", &at, "make room there, and it goes on by itself"]).await;
    disk.free();
    serve.reaches("shop", "stage", "2.0.0").await;

    disk.remount("ro");
    serve.publish(&site("three"), "shop/web:3.0.0").await.ok();
    told(&serve, &["Read-only file system", &at]).await;
    disk.remount("rw");
    serve.reaches("shop", "stage", "3.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two"), &page("three")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0", "3.0.0"]).await;
}

#[tokio::test]
async fn a_full_disk_of_the_registry_refuses_the_push_in_words_and_takes_the_next() {
    let fleet = fleet().await;
    let content = fleet.folder().join("state/registry");
    let Some(disk) = Tmpfs::mount(&content, 8) else { return };
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    disk.fill();
    let said = serve.publish(&heavy("two"), "shop/web:2.0.0").await;
    said.refused(&["the registry's disk is full", "nothing was stored"]);
    let log = serve.said();
    assert!(log.contains(&content.display().to_string()) && log.contains("No space left"), "{log}");
    assert_eq!(serve.row("shop", "stage").await["health"], "healthy");
    disk.free();
    serve.publish(&heavy("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}

#[tokio::test]
async fn a_full_disk_of_the_state_is_told_and_nothing_is_lost_or_done_twice_when_there_is_room() {
    let fleet = fleet().await;
    let state = fleet.folder().join("state");
    let Some(disk) = Tmpfs::mount(&state, 32) else { return };
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    disk.fill();
    fleet.push("a page", &[("services/page/static_file/stage/index.html", "<h1>page</h1>\n")]).await;
    let at = state.display().to_string();
    told(&serve, &["No space left on device", &at]).await;
    serve.publish(&heavy("two"), "shop/web:2.0.0").await.refused(&["the registry's disk is full"]);
    disk.free();
    serve.until("status?service=page", |s| s["deployments"][0]["health"] == "healthy").await;
    serve.publish(&heavy("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    let status = serve.get("status").await;
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status:#}");
    let queued = serve.events("rollout_queued").await;
    assert_eq!(queued.len(), 3, "one for each version, and one for the page: {queued:#?}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_refused_at_the_start_and_used_when_it_can() {
    let fleet = fleet().await;
    let state = fleet.folder().join("state");
    let Some(disk) = Tmpfs::mount(&state, 32) else { return };
    let serve = shop(&fleet).await;
    serve.terminate().await;
    disk.remount("ro");
    let said = run(fleet.serve().command()).await;
    said.refused(&[&state.display().to_string(), "Read-only file system"]);
    disk.remount("rw");
    let serve = fleet.serve().start().await;
    let visitors = Visitors::of_site(&serve, HOST);
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}
