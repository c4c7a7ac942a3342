use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{
    Batch, Clock, Committed, EventQuery, Expect, Instant, Lease, Put, Row, Scan, Store, StoreError,
    StoredEvent, Table,
};

use crate::locked;

/// A store in memory. It outlives nothing; everything else is as the port promises.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Default)]
struct State {
    rows: BTreeMap<(Table, String), Row>,
    events: Vec<StoredEvent>,
    leases: BTreeMap<String, (Lease, Option<Instant>)>,
    /// Errors that the next commits answer with.
    faults: Vec<StoreError>,
}

impl MemoryStore {
    /// An empty store whose leases run on this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), clock }
    }

    /// The next commit fails so and stores nothing.
    pub fn fail_next_commit(&self, error: StoreError) {
        locked(&self.state).faults.push(error);
    }

    /// A store with the same rows and events and no lease in force: what a new process finds after a crash now.
    pub fn after_crash(&self) -> Self {
        let mut state = locked(&self.state).clone();
        state.leases.values_mut().for_each(|(_, until)| *until = None);
        Self { state: Mutex::new(state), clock: Arc::clone(&self.clock) }
    }
}

/// The place of a row, and what was there before a write.
type Former = ((Table, String), Option<Row>);

impl State {
    fn check(&self, put: &Put) -> Result<u64, StoreError> {
        let revision = self.rows.get(&(put.table, put.key.clone())).map(|row| row.revision);
        let good = match put.expect {
            Expect::Any => true,
            Expect::Absent => revision.is_none(),
            Expect::Revision(expected) => revision == Some(expected),
        };
        let conflict = || StoreError::Conflict { table: put.table.as_str(), key: put.key.clone() };
        good.then(|| revision.unwrap_or(0) + 1).ok_or_else(conflict)
    }

    /// Writes a row, and gives its place with what was there.
    fn put(&mut self, put: Put) -> Result<Former, StoreError> {
        let revision = self.check(&put)?;
        let place = (put.table, put.key.clone());
        let former = match put.body {
            Some(body) => {
                let row = Row { key: put.key, revision, open: put.open, body };
                self.rows.insert(place.clone(), row)
            }
            None => self.rows.remove(&place),
        };
        Ok((place, former))
    }

    /// All of it or nothing: what was written before a write that fails is taken back.
    fn apply(&mut self, batch: Batch) -> Result<Committed, StoreError> {
        let mut written: Vec<Former> = Vec::with_capacity(batch.puts.len());
        for put in batch.puts {
            match self.put(put) {
                Ok(former) => written.push(former),
                Err(error) => {
                    for (place, former) in written.into_iter().rev() {
                        match former {
                            Some(row) => self.rows.insert(place, row),
                            None => self.rows.remove(&place),
                        };
                    }
                    return Err(error);
                }
            }
        }
        let first = self.events.len() as u64 + 1;
        let first_event = if batch.events.is_empty() { 0 } else { first };
        self.events.extend((first..).zip(batch.events).map(|(seq, event)| StoredEvent { seq, event }));
        Ok(Committed { first_event })
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let mut state = locked(&self.state);
        if !state.faults.is_empty() {
            return Err(state.faults.remove(0));
        }
        state.apply(batch)
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        Ok(locked(&self.state).rows.get(&(table, key.to_owned())).cloned())
    }

    async fn scan(&self, table: Table, scan: Scan) -> Result<Vec<Row>, StoreError> {
        let state = locked(&self.state);
        let mut rows: Vec<&Row> = state
            .rows
            .iter()
            .filter(|((of, key), row)| {
                *of == table && key.starts_with(&scan.prefix) && (row.open || !scan.open_only)
            })
            .map(|(_, row)| row)
            .collect();
        if scan.descending {
            rows.reverse();
        }
        let beyond = |row: &&&Row| match &scan.after {
            Some(after) if scan.descending => row.key < *after,
            Some(after) => row.key > *after,
            None => true,
        };
        let limit = scan.limit.unwrap_or(usize::MAX);
        Ok(rows.iter().filter(beyond).take(limit).map(|row| (*row).clone()).collect())
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        let state = locked(&self.state);
        let limit = if query.limit == 0 { 1_000 } else { query.limit };
        let mut found: Vec<StoredEvent> = state
            .events
            .iter()
            .filter(|e| e.seq > query.after && (query.before == 0 || e.seq < query.before))
            .filter(|e| query.service.is_none() || e.event.service == query.service)
            .filter(|e| query.environment.is_none() || e.event.environment == query.environment)
            .cloned()
            .collect();
        if query.descending {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        Ok(locked(&self.state).events.len() as u64)
    }

    async fn acquire(&self, name: &str, holder: &str, time: Duration) -> Result<Lease, StoreError> {
        let now = self.clock.monotonic();
        let mut state = locked(&self.state);
        let mut epoch = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(1);
        if let Some((lease, until)) = state.leases.get(name) {
            if until.is_some_and(|until| until > now) && lease.holder != holder {
                return Err(StoreError::Held { name: name.into(), holder: lease.holder.clone() });
            }
            epoch = epoch.max(lease.epoch + 1);
        }
        let lease = Lease { name: name.into(), holder: holder.into(), epoch };
        state.leases.insert(name.into(), (lease.clone(), Some(end(now, time))));
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, time: Duration) -> Result<(), StoreError> {
        let now = self.clock.monotonic();
        let mut state = locked(&self.state);
        let held = |holder: &str| StoreError::Held { name: lease.name.clone(), holder: holder.into() };
        match state.leases.get_mut(&lease.name) {
            Some((current, until)) if *current == *lease && until.is_some() => {
                *until = Some(end(now, time));
                Ok(())
            }
            Some((current, Some(_))) => Err(held(&current.holder)),
            _ => Err(held("nobody: it was given back")),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        if let Some((current, until)) = locked(&self.state).leases.get_mut(&lease.name)
            && current == lease
        {
            *until = None;
        }
        Ok(())
    }
}

fn end(now: Instant, time: Duration) -> Instant {
    Instant(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
