use std::fs;
use std::path::Path;

use bytes::Bytes;
use dhow_static::{Content, ReleaseError, Releases, ServeOptions, UnpackError};
use futures::StreamExt;
use tempfile::TempDir;

use crate::fixture::{archive, file, files, hash, id, stream};

async fn open() -> (TempDir, Releases) {
    let dir = TempDir::new().unwrap();
    let releases = Releases::open(dir.path()).await.unwrap();
    (dir, releases)
}

async fn prepare(releases: &Releases, version: &str) {
    let content = files(&[("index.html", version)]);
    releases.prepare(&id(), hash(version), content, ServeOptions::default()).await.unwrap();
}

/// What stands in the folder of a deployment's releases, hidden names too.
fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("shop/stage/releases")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_release_is_prepared_switched_listed_and_pruned() {
    let (dir, releases) = open().await;
    assert_eq!(releases.current(&id()).await.unwrap(), None);
    for version in ["1", "2", "3"] {
        prepare(&releases, version).await;
    }
    assert_eq!(releases.current(&id()).await.unwrap(), None, "preparing made something live");
    assert_eq!(releases.switch(&id(), hash("1")).await.unwrap(), None);
    assert_eq!(releases.switch(&id(), hash("2")).await.unwrap(), Some(hash("1")));
    assert_eq!(releases.switch(&id(), hash("2")).await.unwrap(), Some(hash("2")));
    assert_eq!(
        fs::read_link(dir.path().join("shop/stage/current")).unwrap(),
        Path::new("releases").join(hash("2").hex())
    );
    assert_eq!(releases.list(&id()).await.unwrap().len(), 3);
    assert_eq!(releases.prune(&id(), &[hash("3")]).await.unwrap(), [hash("1")]);
    assert_eq!(releases.prune(&id(), &[]).await.unwrap(), [hash("3")]);
    assert_eq!(releases.list(&id()).await.unwrap(), [hash("2")], "the live release was pruned");
    releases.remove(&id()).await.unwrap();
    releases.remove(&id()).await.unwrap();
    assert_eq!(releases.current(&id()).await.unwrap(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_release_that_is_not_prepared_never_becomes_live() {
    let (_dir, releases) = open().await;
    prepare(&releases, "1").await;
    releases.switch(&id(), hash("1")).await.unwrap();
    let error = releases.switch(&id(), hash("2")).await.unwrap_err();
    assert!(matches!(error, ReleaseError::NotPrepared { .. }), "{error}");
    assert_eq!(releases.current(&id()).await.unwrap(), Some(hash("1")));
}

#[tokio::test]
async fn preparing_again_returns_what_is_there_and_reads_nothing() {
    let (_dir, releases) = open().await;
    prepare(&releases, "1").await;
    let unread = Content::archive(futures::stream::once(async { panic!("the content was read") }));
    let release = releases.prepare(&id(), hash("1"), unread, ServeOptions::default()).await.unwrap();
    assert_eq!(release.manifest.files.len(), 1);
}

#[tokio::test]
async fn two_at_once_prepare_one_release() {
    let (dir, releases) = open().await;
    tokio::join!(prepare(&releases, "1"), prepare(&releases, "1"), prepare(&releases, "1"));
    assert_eq!(names(dir.path()), [hash("1").hex()]);
    assert!(releases.verify(&id(), hash("1")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_archive_leaves_nothing_behind() {
    let (dir, releases) = open().await;
    let content = stream(archive(&[file("a", "1"), file("../b", "2")]));
    let error = releases.prepare(&id(), hash("1"), content, ServeOptions::default()).await.unwrap_err();
    assert!(matches!(error, ReleaseError::Unpack(UnpackError::Entry { .. })), "{error}");
    assert_eq!(names(dir.path()), [""; 0]);
    let options = ServeOptions { fallback: Some("app.html".into()), ..ServeOptions::default() };
    let error = releases.prepare(&id(), hash("1"), files(&[("a", "1")]), options).await.unwrap_err();
    assert!(matches!(error, ReleaseError::Options(_)), "{error}");
    assert_eq!(names(dir.path()), [""; 0]);
}

#[tokio::test]
async fn an_interrupted_unpack_leaves_nothing_visible_and_its_rest_goes_at_the_next_start() {
    let (dir, releases) = open().await;
    prepare(&releases, "1").await;
    let half = dir.path().join(format!("shop/stage/releases/.tmp-{}-0", hash("2").hex()));
    fs::create_dir_all(half.join("files")).unwrap();
    fs::write(half.join("files/index.html"), "ha").unwrap();
    std::os::unix::fs::symlink("releases/x", dir.path().join("shop/stage/.current-7")).unwrap();
    fs::create_dir(dir.path().join(".removed-3")).unwrap();
    assert_eq!(releases.list(&id()).await.unwrap(), [hash("1")]);
    assert!(releases.find(&id(), hash("2")).await.unwrap().is_none());
    let releases = Releases::open(dir.path()).await.unwrap();
    assert!(!half.exists() && !dir.path().join(".removed-3").exists());
    assert!(fs::symlink_metadata(dir.path().join("shop/stage/.current-7")).is_err());
    assert_eq!(releases.list(&id()).await.unwrap(), [hash("1")]);
}

#[tokio::test]
async fn a_cancelled_prepare_tidies_up_behind_itself() {
    let (dir, releases) = open().await;
    let (started, mut has_started) = tokio::sync::mpsc::channel(1);
    let begin = Bytes::from(archive(&[file("a", "1")])[..20].to_vec());
    let endless = futures::stream::once(async move { Ok(begin) }).chain(futures::stream::once(async move {
        started.send(()).await.unwrap();
        std::future::pending().await
    }));
    let task = tokio::spawn({
        let releases = releases.clone();
        async move { releases.prepare(&id(), hash("1"), Content::archive(endless), ServeOptions::default()).await }
    });
    has_started.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // The thread that unpacks ends by itself; nothing tells when, so look until it did.
    let gone = async {
        while !dir.path().join("shop/stage/releases").exists() || !names(dir.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("something was left behind");
}

#[tokio::test]
async fn drift_names_what_is_missing_changed_and_extra_and_rebuild_mends_it() {
    let (_dir, releases) = open().await;
    let site = [("a", "1"), ("b/c", "2"), ("d", "3")];
    let release = releases.prepare(&id(), hash("1"), files(&site), ServeOptions::default()).await.unwrap();
    assert!(releases.verify(&id(), hash("1")).await.unwrap().is_none());
    fs::remove_file(release.files_dir().join("a")).unwrap();
    fs::write(release.files_dir().join("b/c"), "X").unwrap();
    fs::write(release.files_dir().join("b/evil"), "X").unwrap();
    let drift = releases.verify(&id(), hash("1")).await.unwrap();
    assert_eq!(
        (drift.missing, drift.changed, drift.extra),
        (vec!["a".into()], vec!["b/c".into()], vec!["b/evil".into()])
    );
    releases.rebuild(&id(), hash("1"), files(&site), ServeOptions::default()).await.unwrap();
    assert!(releases.verify(&id(), hash("1")).await.unwrap().is_none());
}

#[tokio::test]
async fn preparing_mends_a_release_that_lost_a_file_or_its_manifest() {
    let (_dir, releases) = open().await;
    prepare(&releases, "1").await;
    let release = releases.find(&id(), hash("1")).await.unwrap().unwrap();
    for lost in [release.files_dir().join("index.html"), release.files_dir().with_file_name("manifest.json")]
    {
        fs::remove_file(lost).unwrap();
        prepare(&releases, "1").await;
        assert!(releases.verify(&id(), hash("1")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_link_is_told_and_left_alone() {
    let (dir, releases) = open().await;
    prepare(&releases, "1").await;
    fs::create_dir(dir.path().join("shop/stage/current")).unwrap();
    let error = releases.switch(&id(), hash("1")).await.unwrap_err();
    assert!(matches!(error, ReleaseError::ForeignCurrent { .. }), "{error}");
}
