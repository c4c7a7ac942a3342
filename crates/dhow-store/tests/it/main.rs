//! The store on real files: the contract, crashes, damage, and the lock.

mod crash;
mod disk;
mod refusal;
mod speed;

use std::sync::Arc;

use dhow_core::port::{Batch, Expect, NewEvent, Put, Table};
use dhow_store::SqliteStore;
use dhow_testkit::ManualClock;

/// A batch of one row and one event.
pub(crate) fn batch(n: usize) -> Batch {
    let body = serde_json::json!({ "n": n });
    let event = NewEvent {
        kind: "tested".into(),
        schema: 1,
        service: None,
        target: None,
        environment: None,
        cause: None,
        at_ms: 0,
        body: body.clone(),
    };
    let put = Put {
        table: Table::Rollouts,
        key: format!("{n:06}"),
        expect: Expect::Absent,
        open: n.is_multiple_of(100),
        body: Some(body.to_string().into()),
    };
    Batch { puts: vec![put], events: vec![event] }
}

#[tokio::test]
async fn the_contract_holds() {
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    dhow_testkit::store::contract(async |clock: Arc<ManualClock>| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(SqliteStore::open_with_clock(root.path().join(format!("{n}.db")), clock).await.unwrap())
    })
    .await;
}
