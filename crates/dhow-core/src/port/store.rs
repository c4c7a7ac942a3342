use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::noun::{EnvironmentName, ServiceName, TargetType};

/// The kinds of current rows. A row is a JSON document under a key; the tables are few and fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row a deployment: what it runs, its health.
    Deployments,
    /// One row a rollout.
    Rollouts,
    /// What deployments were given.
    Releases,
    /// Digests that were healthy somewhere: kept for ever.
    Proofs,
    /// Tags as they were first resolved.
    Tags,
    /// What is known of versions.
    Versions,
    /// Updates under way: commits being made.
    Updates,
    /// Proposals and their votes.
    Proposals,
    /// Desired hashes that were approved.
    Approvals,
    /// Digests that are not to be selected.
    Quarantine,
    /// Desired hashes that are not to be rolled out.
    Holds,
    /// Gates in force.
    Gates,
    /// Access tokens.
    Tokens,
    /// Where readers of the event log stand; where the fleet stands.
    Cursors,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 14] = [
        Self::Deployments,
        Self::Rollouts,
        Self::Releases,
        Self::Proofs,
        Self::Tags,
        Self::Versions,
        Self::Updates,
        Self::Proposals,
        Self::Approvals,
        Self::Quarantine,
        Self::Holds,
        Self::Gates,
        Self::Tokens,
        Self::Cursors,
    ];

    /// The table's name in a database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Rollouts => "rollouts",
            Self::Releases => "releases",
            Self::Proofs => "proofs",
            Self::Tags => "tags",
            Self::Versions => "versions",
            Self::Updates => "updates",
            Self::Proposals => "proposals",
            Self::Approvals => "approvals",
            Self::Quarantine => "quarantine",
            Self::Holds => "holds",
            Self::Gates => "gates",
            Self::Tokens => "tokens",
            Self::Cursors => "cursors",
        }
    }
}

/// A current row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its key, unique in its table. Keys sort as bytes.
    pub key: String,
    /// Counts its writes, from 1.
    pub revision: u64,
    /// Something is still to be done for it: start-up reads open rows only.
    pub open: bool,
    /// The document, as JSON: whoever asked reads it, once.
    pub body: Arc<str>,
}

/// What a write expects of the row before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// There is none.
    Absent,
    /// It is at this revision.
    Revision(u64),
}

/// A write of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: String,
    /// What must hold before.
    pub expect: Expect,
    /// Something is still to be done for it.
    pub open: bool,
    /// The document, as JSON; `None` removes the row.
    pub body: Option<Arc<str>>,
}

/// A fact to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What kind of fact, `rollout_queued`.
    pub kind: String,
    /// Version of the body's shape; old ones stay readable.
    pub schema: u16,
    /// Service that it is about.
    pub service: Option<ServiceName>,
    /// Type that it is about.
    pub target: Option<TargetType>,
    /// Environment that it is about.
    pub environment: Option<EnvironmentName>,
    /// Number of the event that caused it.
    pub cause: Option<u64>,
    /// Wall-clock time, milliseconds since 1970.
    pub at_ms: i64,
    /// The fact.
    pub body: serde_json::Value,
}

/// A fact with its number. Numbers grow in commit order: a reader that has seen n never later meets a smaller one.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Its number, from 1.
    pub seq: u64,
    /// The fact.
    pub event: NewEvent,
}

/// Rows and facts that are stored together or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Rows to write.
    pub puts: Vec<Put>,
    /// Facts to append, in this order.
    pub events: Vec<NewEvent>,
}

/// What a commit gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Number of the first event of the batch; the others follow without a gap. Zero where the batch had none.
    pub first_event: u64,
}

/// Which rows to read: in the order of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Keys that start so.
    pub prefix: String,
    /// Only open rows.
    pub open_only: bool,
    /// From the last key backwards.
    pub descending: bool,
    /// Keys beyond this one, in the order of the scan.
    pub after: Option<String>,
    /// At most so many; `None`: all.
    pub limit: Option<usize>,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Numbers above this.
    pub after: u64,
    /// Numbers below this; 0: no bound.
    pub before: u64,
    /// Of this service only.
    pub service: Option<ServiceName>,
    /// Of this environment only.
    pub environment: Option<EnvironmentName>,
    /// Newest first.
    pub descending: bool,
    /// At most so many; 0: 1,000.
    pub limit: usize,
}

/// The right to act, for a time. A lease of a higher epoch ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is for.
    pub name: String,
    /// Who has it: host, process and start time, for people.
    pub holder: String,
    /// Grows with every change of hands, and is above those of a store that was lost: it follows the wall clock.
    pub epoch: u64,
}

/// What goes wrong with a store.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// A row was not as the write expected: read again and decide again. Nothing of the batch was stored.
    #[error("{table} {key:?} was changed meanwhile")]
    Conflict {
        /// Table of the row.
        table: &'static str,
        /// Its key.
        key: String,
    },
    /// The lease is another's.
    #[error("{name} is held by {holder}")]
    Held {
        /// What is held.
        name: String,
        /// By whom.
        holder: String,
    },
    /// A stored document cannot be read.
    #[error("{table} {key:?} cannot be read: {reason}")]
    Unreadable {
        /// Table of the row.
        table: &'static str,
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The database answers with an error; a full disk is the usual cause.
    #[error("the database failed: {0}")]
    Failed(String),
    /// The database cannot be used as it is: damaged, or made by a newer Dhow.
    #[error("{0}")]
    Unusable(String),
}

/// What must outlive a crash. Documents by key, an append-only log of facts, and leases.
///
/// *Guarantees* (held by `dhow_testkit::store`): a batch is stored whole or not at all, and is on disk when `commit`
/// returns; event numbers follow commit order without reuse; reads see every commit that returned before they began.
/// *Crash*: a batch whose `commit` did not return is either there whole or not there.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores a batch. Concurrent batches may share one durable write.
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError>;

    /// One row.
    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError>;

    /// Rows in the order of their keys.
    async fn scan(&self, table: Table, scan: Scan) -> Result<Vec<Row>, StoreError>;

    /// Events in the order of their numbers.
    async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError>;

    /// Number of the newest event; 0 where there is none. Cheap.
    async fn last_event(&self) -> Result<u64, StoreError>;

    /// Takes a lease that is free, run out, or already this holder's; the epoch grows with every taking. It is the wall
    /// clock's milliseconds, or one more than the last where that is higher: where a store is lost, the places that have
    /// seen its epochs take those of the new one. The time runs
    /// on the store's monotonic clock while the process lives; `Held` says by whom it is held.
    async fn acquire(&self, name: &str, holder: &str, time: Duration) -> Result<Lease, StoreError>;

    /// Lengthens a lease that is still ours.
    async fn renew(&self, lease: &Lease, time: Duration) -> Result<(), StoreError>;

    /// Gives a lease back.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;
}

/// A typed row.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// Where it stands.
    const TABLE: Table;

    /// Its key.
    fn key(&self) -> String;

    /// Whether something is still to be done for it.
    fn open(&self) -> bool {
        false
    }

    /// The write of this record.
    fn put(&self, expect: Expect) -> Result<Put, StoreError> {
        let body = serde_json::to_string(self).map_err(|e| StoreError::Unreadable {
            table: Self::TABLE.as_str(),
            key: self.key(),
            reason: e.to_string(),
        })?;
        Ok(Put { table: Self::TABLE, key: self.key(), expect, open: self.open(), body: Some(body.into()) })
    }

    /// The removal of the record under this key.
    fn remove(key: impl Into<String>) -> Put {
        Put { table: Self::TABLE, key: key.into(), expect: Expect::Any, open: false, body: None }
    }

    /// The record in a row.
    fn read(row: &Row) -> Result<Self, StoreError> {
        serde_json::from_str(&row.body).map_err(|e| StoreError::Unreadable {
            table: Self::TABLE.as_str(),
            key: row.key.clone(),
            reason: e.to_string(),
        })
    }
}

/// Typed reads.
#[async_trait]
pub trait StoreExt: Store {
    /// One record.
    async fn load<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        self.get(R::TABLE, key).await?.as_ref().map(R::read).transpose()
    }

    /// Records in the order of their keys.
    async fn list<R: Record>(&self, scan: Scan) -> Result<Vec<R>, StoreError> {
        self.scan(R::TABLE, scan).await?.iter().map(R::read).collect()
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
