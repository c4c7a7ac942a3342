use std::sync::Arc;
use std::time::Instant;

use dhow_core::port::{Batch, Scan, Store, Table};
use dhow_store::SqliteStore;

use crate::batch;

/// Prints what it measures; run with `--nocapture`. It asserts only what holds on any machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_commits_and_ten_thousand_rows() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(root.path().join("dhow.db")).await.unwrap());
    let start = Instant::now();
    for n in 0..1_000 {
        store.commit(batch(n)).await.unwrap();
    }
    println!("1,000 commits one after another: {:?}", start.elapsed());
    let start = Instant::now();
    let commits: Vec<_> = (1_000..2_000)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(batch(n)).await })
        })
        .collect();
    for commit in commits {
        commit.await.unwrap().unwrap();
    }
    println!("1,000 commits at once: {:?}", start.elapsed());
    let puts = (2_000..10_000).flat_map(|n| batch(n).puts).collect();
    store.commit(Batch { puts, events: vec![] }).await.unwrap();
    let start = Instant::now();
    assert_eq!(store.scan(Table::Rollouts, Scan::default()).await.unwrap().len(), 10_000);
    println!("scan of 10,000 rows: {:?}", start.elapsed());
    let start = Instant::now();
    let open = Scan { open_only: true, ..Scan::default() };
    assert_eq!(store.scan(Table::Rollouts, open).await.unwrap().len(), 100);
    println!("scan of the 100 open ones: {:?}", start.elapsed());
}
