#![expect(clippy::unwrap_used, reason = "a contract is a test: it panics where a promise is broken")]

use std::sync::Arc;

use dhow_core::port::{Batch, EventQuery, Expect, NewEvent, Put, Scan, Store, StoreError, Table};
use serde_json::json;

use super::{leases, reads};
use crate::ManualClock;

/// Runs every test of the contract, each on a new, empty store that `make` gives. Leases of the store must run on the
/// clock that `make` is given. Panics where a promise is broken.
pub async fn contract<S: Store + 'static>(make: impl AsyncFn(Arc<ManualClock>) -> Arc<S>) {
    let fresh = async || make(Arc::new(ManualClock::default())).await;
    a_batch_is_stored_whole_or_not_at_all(&*fresh().await).await;
    a_write_sees_those_before_it_in_its_batch(&*fresh().await).await;
    a_revision_counts_the_writes(&*fresh().await).await;
    numbers_follow_commit_order(fresh().await).await;
    one_of_many_writers_of_a_revision_wins(fresh().await).await;
    reads::scans_are_in_key_order(&*fresh().await).await;
    reads::prefixes_are_bytes_and_not_patterns(&*fresh().await).await;
    reads::documents_come_back_as_they_were(&*fresh().await).await;
    reads::events_are_filtered_and_ordered(&*fresh().await).await;
    let clock = Arc::new(ManualClock::default());
    leases::one_holder_at_a_time(&*make(Arc::clone(&clock)).await, &clock).await;
    let clock = Arc::new(ManualClock::default());
    leases::an_old_lease_does_nothing(&*make(Arc::clone(&clock)).await, &clock).await;
}

pub(super) fn put(key: &str, expect: Expect, body: serde_json::Value) -> Put {
    Put { table: Table::Rollouts, key: key.into(), expect, open: false, body: Some(body.to_string().into()) }
}

pub(super) fn event(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        schema: 1,
        service: None,
        target: None,
        environment: None,
        cause: None,
        at_ms: 0,
        body: json!({}),
    }
}

async fn a_batch_is_stored_whole_or_not_at_all(store: &dyn Store) {
    let first = Batch { puts: vec![put("a", Expect::Absent, json!(1))], events: vec![event("one")] };
    assert_eq!(store.commit(first.clone()).await.unwrap().first_event, 1);
    let broken = Batch {
        puts: vec![put("b", Expect::Any, json!(1)), put("a", Expect::Absent, json!(2))],
        events: vec![event("never")],
    };
    let error = store.commit(broken).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict { table: "rollouts", key } if key == "a"), "{error}");
    assert_eq!(store.get(Table::Rollouts, "b").await.unwrap(), None, "half a batch was stored");
    assert_eq!(store.get(Table::Rollouts, "a").await.unwrap().unwrap().body.as_ref(), "1");
    assert_eq!(store.last_event().await.unwrap(), 1, "an event of a failed batch was stored");
    let next = Batch { puts: vec![], events: vec![event("two"), event("three")] };
    assert_eq!(store.commit(next).await.unwrap().first_event, 2, "a failed batch used a number up");
    assert_eq!(store.commit(Batch::default()).await.unwrap().first_event, 0);
    assert_eq!(store.last_event().await.unwrap(), 3);
}

async fn a_write_sees_those_before_it_in_its_batch(store: &dyn Store) {
    let puts = vec![put("a", Expect::Absent, json!(1)), put("a", Expect::Revision(1), json!(2))];
    store.commit(Batch { puts, events: vec![] }).await.unwrap();
    assert_eq!(store.get(Table::Rollouts, "a").await.unwrap().unwrap().revision, 2);
}

async fn a_revision_counts_the_writes(store: &dyn Store) {
    let write = async |expect, body: Option<i32>| {
        let mut write = put("a", expect, json!(null));
        write.body = body.map(|b| b.to_string().into());
        store.commit(Batch { puts: vec![write], events: vec![] }).await.map(drop)
    };
    assert!(matches!(write(Expect::Revision(1), Some(0)).await, Err(StoreError::Conflict { .. })));
    write(Expect::Any, Some(1)).await.unwrap();
    write(Expect::Revision(1), Some(2)).await.unwrap();
    write(Expect::Any, Some(3)).await.unwrap();
    assert_eq!(store.get(Table::Rollouts, "a").await.unwrap().unwrap().revision, 3);
    assert!(matches!(write(Expect::Revision(2), Some(0)).await, Err(StoreError::Conflict { .. })));
    assert!(matches!(write(Expect::Revision(2), None).await, Err(StoreError::Conflict { .. })));
    write(Expect::Revision(3), None).await.unwrap();
    assert_eq!(store.get(Table::Rollouts, "a").await.unwrap(), None);
    write(Expect::Any, None).await.unwrap();
    write(Expect::Absent, Some(1)).await.unwrap();
    assert_eq!(store.get(Table::Rollouts, "a").await.unwrap().unwrap().revision, 1);
    assert_eq!(store.get(Table::Holds, "a").await.unwrap(), None, "tables share keys");
}

async fn numbers_follow_commit_order(store: Arc<dyn Store>) {
    let commits = (0..200).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let before = store.last_event().await.unwrap();
            let events = vec![event(&format!("{n}-0")), event(&format!("{n}-1"))];
            let body = json!(n);
            let puts = vec![put(&format!("{n:03}"), Expect::Absent, body)];
            let first = store.commit(Batch { puts, events }).await.unwrap().first_event;
            assert!(first > before, "a reader that had seen {before} met {first}");
            assert!(store.last_event().await.unwrap() > first, "a commit that returned is not seen");
            (n, first)
        })
    });
    let commits: Vec<_> = commits.collect();
    let stored = async || store.events(EventQuery { limit: 1_000, ..EventQuery::default() }).await.unwrap();
    for commit in commits {
        let (n, first) = commit.await.unwrap();
        let events = stored().await;
        let at = usize::try_from(first - 1).unwrap();
        assert_eq!(events[at].event.kind, format!("{n}-0"));
        assert_eq!(events[at + 1].event.kind, format!("{n}-1"), "another batch came between");
    }
    let numbers: Vec<u64> = stored().await.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    assert_eq!(store.scan(Table::Rollouts, Scan::default()).await.unwrap().len(), 200);
}

async fn one_of_many_writers_of_a_revision_wins(store: Arc<dyn Store>) {
    let writers: Vec<_> = (0..50)
        .map(|n| {
            let store = Arc::clone(&store);
            let batch =
                Batch { puts: vec![put("a", Expect::Absent, json!(n))], events: vec![event(&n.to_string())] };
            tokio::spawn(async move { store.commit(batch).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.last_event().await.unwrap(), 1);
}
