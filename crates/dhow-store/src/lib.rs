//! What must outlive a crash: the [`Store`](dhow_core::port::Store) port on SQLite, and the lock that keeps a second
//! process off the same state.
//!
//! One connection writes. Its task takes every commit that is waiting, stores them in one transaction with a savepoint
//! each, and answers after SQLite has synced the log: a hundred concurrent commits cost about one sync. Reads go to a
//! small pool and never wait for the writer (WAL).

mod cache;
mod event;
mod lease;
mod lock;
mod open;
mod problem;
mod row;
mod statement;
mod store;
mod writer;

pub use lock::StateLock;
pub use store::SqliteStore;
