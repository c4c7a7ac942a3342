//! A disk that is full for a while.

use dhow_core::port::{Batch, Store as _, StoreError, Table};
use dhow_store::SqliteStore;
use dhow_testkit::Tmpfs;

use crate::batch;

/// A batch that needs more than the last bytes of a disk.
fn heavy(n: usize) -> Batch {
    let mut batch = batch(n);
    batch.puts[0].body = Some(format!("\"{}\"", "x".repeat(64 << 10)).into());
    batch
}

#[tokio::test]
async fn what_a_full_disk_refuses_is_not_there_and_what_comes_when_there_is_room_is_stored() {
    let root = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(root.path(), 2) else { return };
    let store = SqliteStore::open(root.path().join("dhow.db")).await.unwrap();
    store.commit(batch(1)).await.unwrap();
    disk.fill();
    for n in 2..5 {
        // The second is refused as the first was: for the disk, not for what the first left behind.
        let error = store.commit(heavy(n)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Failed(why) if why.contains("is full")), "{error}");
    }
    disk.free();
    store.commit(heavy(5)).await.unwrap();
    let row = async |n: usize| store.get(Table::Rollouts, &format!("{n:06}")).await.unwrap();
    assert!(row(1).await.is_some() && row(2).await.is_none() && row(5).await.is_some());
    assert_eq!(store.last_event().await.unwrap(), 2, "an event of a refused batch has a number");
}
