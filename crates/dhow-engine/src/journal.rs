//! Facts and rows, stored together; and word of it to whoever waits.

use std::sync::Arc;

use dhow_core::port::{Batch, Clock, Expect, Put, Record, Store, StoreError};
use dhow_core::rollout::{Cause, Event};
use tokio::sync::{Notify, watch};

/// A batch being made: rows and facts that belong together.
#[derive(Debug, Default)]
pub struct Entry {
    puts: Vec<Put>,
    events: Vec<(Event, Cause)>,
}

impl Entry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a row, whatever it was: the caller holds the lock that guards it.
    pub fn put<R: Record>(&mut self, record: &R) -> Result<&mut Self, StoreError> {
        self.puts.push(record.put(Expect::Any)?);
        Ok(self)
    }

    /// Writes a row that must not be there yet; the whole entry fails where it is.
    pub fn create<R: Record>(&mut self, record: &R) -> Result<&mut Self, StoreError> {
        self.puts.push(record.put(Expect::Absent)?);
        Ok(self)
    }

    /// Removes a row.
    pub fn remove<R: Record>(&mut self, key: impl Into<String>) -> &mut Self {
        self.puts.push(R::remove(key));
        self
    }

    /// Adds a fact.
    pub fn event(&mut self, event: Event) -> &mut Self {
        self.events.push((event, None));
        self
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.events.is_empty()
    }
}

/// Writes entries and tells readers the newest number.
pub struct Journal {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    newest: watch::Sender<u64>,
    /// A question was opened or closed.
    questions: Notify,
}

impl Journal {
    /// A journal over a store; `newest` is the number of its last event.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, newest: u64) -> Self {
        Self { store, clock, newest: watch::Sender::new(newest), questions: Notify::new() }
    }

    /// Stores an entry: whole or not at all. When this returns it is on disk.
    pub async fn write(&self, entry: Entry) -> Result<(), StoreError> {
        if entry.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let events: Vec<_> =
            entry.events.iter().map(|(event, cause)| event.stored(now, *cause)).collect::<Result<_, _>>()?;
        let count = events.len() as u64;
        let committed = self.store.commit(Batch { puts: entry.puts, events }).await?;
        let is_question =
            |event: &Event| matches!(event, Event::ProposalOpened { .. } | Event::ProposalClosed { .. });
        if entry.events.iter().any(|(event, _)| is_question(event)) {
            self.questions.notify_one();
        }
        if count > 0 {
            let last = committed.first_event + count - 1;
            self.newest.send_if_modified(|newest| {
                let grew = last > *newest;
                *newest = last.max(*newest);
                grew
            });
        }
        Ok(())
    }

    /// Returns when questions to people were opened or closed since it returned last. For one reader.
    pub(crate) async fn questions(&self) {
        self.questions.notified().await;
    }

    /// Follows the number of the newest event.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
