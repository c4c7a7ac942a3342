//! What goes and what stays.

use std::time::{Duration, SystemTime};

use dhow_core::noun::Digest;
use dhow_registry::media::{OCI_INDEX, OCI_MANIFEST};
use dhow_registry::server::{Collected, InUse};
use reqwest::Method;

use crate::support::{Server, digest_of, index_of};

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

async fn collect(server: &Server, later: Duration) -> Collected {
    let in_use: &dyn InUse = &*server.uses.0;
    server.registry.collect(in_use, WEEK, SystemTime::now() + later).await.unwrap()
}

#[tokio::test]
async fn what_nothing_tags_goes_after_a_week_and_not_before() {
    let server = Server::open().await;
    let old = server.image("a", "v1", "old").await;
    let new = server.image("a", "v1", "new").await;
    assert_eq!(collect(&server, WEEK - DAY).await, Collected::default());
    let collected = collect(&server, WEEK + DAY).await;
    assert_eq!((collected.manifests, collected.blobs, collected.files), (1, 2, 3));
    assert!(collected.bytes > 0);
    assert_eq!(server.status(Method::GET, &format!("a/manifests/{old}")).await, 404);
    assert_eq!(server.status(Method::GET, &format!("a/manifests/{new}")).await, 200);
    assert_eq!(server.status(Method::GET, &format!("a/blobs/{}", Digest::of(b"layer new"))).await, 200);
    assert_eq!(server.files("blobs"), 3);
}

#[tokio::test]
async fn what_is_in_use_stays_with_all_it_needs() {
    let server = Server::open().await;
    let child = server.image("a", "child", "one").await;
    let index = index_of(&[(child, 10)]);
    assert_eq!(server.put("a", "v1", OCI_INDEX, &index).await.status(), 201);
    for tag in ["v1", "child"] {
        assert_eq!(server.status(Method::DELETE, &format!("a/manifests/{tag}")).await, 202);
    }
    server.uses.add(digest_of(&index), "kept as a release of shop");
    assert_eq!(collect(&server, 4 * WEEK).await, Collected::default());
    assert_eq!(server.status(Method::GET, &format!("a/blobs/{}", Digest::of(b"layer one"))).await, 200);
}

#[tokio::test]
async fn nothing_goes_while_it_is_unknown_what_is_in_use() {
    let server = Server::open().await;
    server.image("a", "v1", "old").await;
    server.image("a", "v1", "new").await;
    server.uses.fail();
    let in_use: &dyn InUse = &*server.uses.0;
    assert!(server.registry.collect(in_use, WEEK, SystemTime::now() + 4 * WEEK).await.is_err());
    assert_eq!(server.files("blobs"), 6);
}

#[tokio::test]
async fn a_push_that_asks_for_old_blobs_keeps_them() {
    let server = Server::open().await;
    let manifest = server.image_parts("a", "one").await;
    let age = SystemTime::now() - 4 * WEEK;
    let mut open = vec![server.root.path().to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(age).unwrap();
        }
    }
    let config = manifest["config"]["digest"].as_str().unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    for digest in [config, layer] {
        assert_eq!(server.status(Method::HEAD, &format!("a/blobs/{digest}")).await, 200);
    }
    assert_eq!(collect(&server, Duration::ZERO).await, Collected::default());
    assert_eq!(server.put("a", "v1", OCI_MANIFEST, &manifest).await.status(), 201);
}

#[tokio::test]
async fn a_week_may_be_shortened_but_never_below_an_hour() {
    let server = Server::open().await;
    server.blob("a", b"just pushed").await;
    let in_use: &dyn InUse = &*server.uses.0;
    let collected = server.registry.collect(in_use, Duration::ZERO, SystemTime::now()).await.unwrap();
    assert_eq!(collected, Collected::default());
}

#[tokio::test]
async fn a_blob_that_another_repository_has_stays_on_disk() {
    let server = Server::open().await;
    server.image("kept", "v1", "same").await;
    server.image("gone", "v1", "same").await;
    assert_eq!(server.status(Method::DELETE, "gone/manifests/v1").await, 202);
    let collected = collect(&server, 2 * WEEK).await;
    assert_eq!((collected.manifests, collected.blobs, collected.files), (1, 2, 0));
    assert_eq!(server.status(Method::GET, &format!("kept/blobs/{}", Digest::of(b"layer same"))).await, 200);
}

#[tokio::test]
async fn uploads_that_were_idle_for_a_day_go() {
    let server = Server::open().await;
    assert_eq!(server.status(Method::POST, "a/blobs/uploads/").await, 202);
    assert_eq!(collect(&server, Duration::from_secs(3600)).await.uploads, 0);
    assert_eq!(collect(&server, 2 * DAY).await.uploads, 1);
    assert_eq!(server.files("uploads"), 0);
}
