use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use dhow_core::port::{EventQuery, Scan, Store, StoreError, Table};
use dhow_store::{SqliteStore, StateLock};

use crate::batch;

const CHILD: &str = "DHOW_STORE_TEST_CHILD";

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart_and_leases_are_free() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("dhow.db");
    let store = SqliteStore::open(&file).await.unwrap();
    store.commit(batch(0)).await.unwrap();
    let before = store.acquire("worker", "one", Duration::from_secs(600)).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&file).await.unwrap();
    assert_eq!(store.last_event().await.unwrap(), 1);
    assert_eq!(store.scan(Table::Rollouts, Scan::default()).await.unwrap().len(), 1);
    assert_eq!(store.commit(batch(1)).await.unwrap().first_event, 2);
    let after = store.acquire("worker", "two", Duration::from_secs(600)).await.unwrap();
    assert!(after.epoch > before.epoch);
}

/// Not a test of its own: what the next test starts as another process and kills.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD).map(std::path::PathBuf::from) else { return };
    let _lock = StateLock::acquire(&directory).unwrap();
    let store = SqliteStore::open(directory.join("dhow.db")).await.unwrap();
    for n in 0.. {
        store.commit(batch(n)).await.unwrap();
        println!("\nstored {n}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_batch_that_was_answered() {
    let root = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answered = lines.filter_map(|l| l.unwrap().strip_prefix("stored ")?.parse::<usize>().ok());
    answered.find(|n| *n == 50).expect("the child stopped early");
    let held = StateLock::acquire(root.path()).unwrap_err();
    let says = format!("process {} on", child.id());
    assert!(matches!(&held, StoreError::Held { holder, .. } if holder.contains(&says)), "{held}");
    child.kill().unwrap();
    child.wait().unwrap();
    let last = answered.last().unwrap_or(50);

    let _lock = StateLock::acquire(root.path()).expect("the lock of a dead process holds");
    let store = SqliteStore::open(root.path().join("dhow.db")).await.unwrap();
    let rows = store.scan(Table::Rollouts, Scan::default()).await.unwrap().len();
    let query = EventQuery { limit: usize::MAX, ..EventQuery::default() };
    let events = store.events(query).await.unwrap();
    assert!(rows > last, "{last} was answered, {rows} rows are there");
    assert_eq!(rows, events.len(), "half a batch is there");
    assert!(events.iter().enumerate().all(|(at, e)| e.seq == at as u64 + 1));
}

/// Places refuse a lower epoch than they have seen: a new database must not begin below.
#[tokio::test]
async fn the_first_epoch_of_a_new_database_is_no_lower_than_those_of_one_that_was_lost() {
    let root = tempfile::tempdir().unwrap();
    let time = Duration::from_secs(600);
    let lost = SqliteStore::open(root.path().join("lost.db")).await.unwrap();
    let seen = lost.acquire("worker", "one", time).await.unwrap();
    lost.close().await;
    let new = SqliteStore::open(root.path().join("new.db")).await.unwrap();
    let first = new.acquire("worker", "one", time).await.unwrap();
    assert!(first.epoch >= seen.epoch && seen.epoch > 1, "{first:?} {seen:?}");
    let second = new.acquire("worker", "one", time).await.unwrap();
    assert!(second.epoch > first.epoch, "{second:?} {first:?}");
}
