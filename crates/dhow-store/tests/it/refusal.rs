#![expect(clippy::unwrap_used, reason = "a test panics where a promise is broken")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dhow_core::port::{EventQuery, Store as _, StoreError};
use dhow_store::{SqliteStore, StateLock};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::batch;

async fn filled(root: &Path) -> PathBuf {
    let file = root.join("dhow.db");
    let store = SqliteStore::open(&file).await.unwrap();
    for n in 0..200 {
        store.commit(batch(n)).await.unwrap();
    }
    store.close().await;
    file
}

async fn refusal(file: &Path) -> String {
    let before = fs::read(file).unwrap();
    let error = SqliteStore::open(file).await.err().expect("it was opened");
    assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
    assert!(fs::read(file).unwrap() == before, "a refused file was changed");
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()), "{text}");
    text
}

async fn run(file: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_cut_short_or_no_database_is_refused_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let file = filled(root.path()).await;
    let whole = fs::read(&file).unwrap();
    for length in [0, 10, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..length]).unwrap();
        let text = refusal(&file).await;
        assert!(text.contains("Restore a copy") && text.contains("move both away"), "{length}: {text}");
    }
    fs::write(&file, "not a database ".repeat(1000)).unwrap();
    refusal(&file).await;
}

#[tokio::test]
async fn a_database_of_a_newer_dhow_is_refused_with_both_versions() {
    let root = tempfile::tempdir().unwrap();
    let file = filled(root.path()).await;
    run(&file, "UPDATE _sqlx_migrations SET version = 999").await;
    let text = refusal(&file).await;
    assert!(text.contains("version 999") && text.contains("knows up to 1"), "{text}");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("other.db");
    run(&file, "CREATE TABLE theirs (a)").await;
    assert!(refusal(&file).await.contains("another program"));
}

#[test]
fn a_second_lock_is_refused_with_the_holder_and_free_after_the_first() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let lock = StateLock::acquire(&state).unwrap();
    let error = StateLock::acquire(&state).unwrap_err().to_string();
    assert!(error.contains("state is held by process"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(lock);
    StateLock::acquire(&state).unwrap();
}

#[tokio::test]
async fn other_users_cannot_read_the_state() {
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = root.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let _lock = StateLock::acquire(&state).unwrap();
    assert_eq!(mode(&state), 0o700);
    let file = filled(&state).await;
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_directory_with_something_else_in_it_is_refused_and_left_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.path(), open).unwrap();
    fs::create_dir(root.path().join("lost+found")).unwrap();
    fs::write(root.path().join("letter.txt"), "dear").unwrap();
    let error = StateLock::acquire(root.path()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unusable(_)) && text.contains("is not empty"), "{text}");
    assert!(text.contains(&root.path().display().to_string()), "{text}");
    assert_eq!(root.path().metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    fs::create_dir(root.path().join("lock")).unwrap();
    assert!(StateLock::acquire(root.path()).is_err(), "a folder of that name is in /var, too");
}

#[test]
fn a_directory_that_was_prepared_for_a_state_is_taken() {
    for before in ["known_hosts", "admin.token", "config.yaml", ".gitconfig", "lost+found"] {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.path().join(before), "").unwrap();
        drop(StateLock::acquire(root.path()).unwrap());
        assert_eq!(root.path().metadata().unwrap().permissions().mode() & 0o777, 0o700, "{before}");
        fs::write(root.path().join("letter.txt"), "dear").unwrap();
        StateLock::acquire(root.path()).unwrap();
    }
}

#[tokio::test]
async fn damage_that_is_found_later_is_told_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let file = filled(root.path()).await;
    let whole = fs::read(&file).unwrap();
    let mut later = 0;
    for page in (4096..whole.len()).step_by(4096).take(64) {
        let mut bytes = whole.clone();
        bytes[page..page + 4096].fill(0xA5);
        fs::write(&file, bytes).unwrap();
        let Ok(store) = SqliteStore::open(&file).await else { continue };
        if let Err(error) = store.events(EventQuery::default()).await {
            let text = error.to_string();
            assert!(text.contains("the database is damaged") && text.contains("Restore a copy"), "{text}");
            later += 1;
        }
        store.close().await;
    }
    assert!(later > 0, "all damage was found at once");
}
