//! The store whose batches are points.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{
    Batch, CommitId, Committed, EventQuery, Lease, NewEvent, Record as _, Row, Scan, Store, StoreError,
    StoredEvent, Table,
};
use dhow_core::rollout::FleetCursor;

use super::Faults;
use super::at::Class;
use super::broken::Broken;

/// A store that is disturbed.
pub struct Disturbed {
    store: Arc<dyn Store>,
    faults: Faults,
}

impl Disturbed {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>, faults: Faults) -> Self {
        Self { store, faults }
    }
}

/// What a batch says, without anything that differs from run to run.
fn words(batch: &Batch) -> String {
    let text = |event: &NewEvent, field: &str| {
        event.body.get(field).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let fact = |event: &NewEvent| {
        let key = text(event, "key");
        // A key begins with the release that it is of.
        let step = key.split_once(':').map_or(&*key, |(_, step)| step).to_owned();
        let to = if event.kind == "rollout_moved" { text(event, "to") } else { String::new() };
        let undo = if event.body.get("undo") == Some(&true.into()) { "-undo" } else { "" };
        let environment = event.environment.as_ref().map(ToString::to_string).unwrap_or_default();
        let parts = [event.kind.clone(), format!("{step}{undo}"), to, environment];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    };
    if batch.events.is_empty() {
        let rows: Vec<_> = batch.puts.iter().map(|put| format!("row/{}", put.table.as_str())).collect();
        return rows.join(" ");
    }
    batch.events.iter().map(fact).collect::<Vec<_>>().join(" ")
}

/// The cursor at the commit that the batch tells of.
fn early_cursor(batch: &mut Batch) -> Result<(), StoreError> {
    let moved = batch.events.iter().find(|event| event.kind == "fleet_moved");
    let to = moved.and_then(|event| event.body.get("to")?.as_str()).and_then(|to| CommitId::new(to).ok());
    if let Some(commit) = to {
        batch.puts.push(FleetCursor { commit }.put(dhow_core::port::Expect::Any)?);
    }
    Ok(())
}

#[async_trait]
impl Store for Disturbed {
    async fn commit(&self, mut batch: Batch) -> Result<Committed, StoreError> {
        let started = |event: &NewEvent| matches!(event.kind.as_str(), "step_started" | "commit_started");
        if self.faults.broken(Broken::Unstarted) && batch.events.iter().any(started) {
            return Ok(Committed { first_event: 0 });
        }
        if self.faults.broken(Broken::EarlyCursor) {
            early_cursor(&mut batch)?;
        }
        self.faults.pass(Class::Batch, words(&batch), self.store.commit(batch)).await
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.store.get(table, key).await
    }

    async fn scan(&self, table: Table, scan: Scan) -> Result<Vec<Row>, StoreError> {
        self.store.scan(table, scan).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(query).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.store.last_event().await
    }

    async fn acquire(&self, name: &str, holder: &str, time: Duration) -> Result<Lease, StoreError> {
        self.store.acquire(name, holder, time).await
    }

    async fn renew(&self, lease: &Lease, time: Duration) -> Result<(), StoreError> {
        self.store.renew(lease, time).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.store.release(lease).await
    }
}
