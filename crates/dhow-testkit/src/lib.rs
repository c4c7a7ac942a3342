//! In-memory twins of the ports of `dhow-core`, and the contract tests that every implementation runs.
//!
//! A twin keeps the promises of its port and can be told to fail. A contract is a plain async function that panics
//! where a promise is broken: call it from a test of the implementation. [`engines`] finds the real engines.

mod clock;
pub mod engines;
pub mod executor;
mod fleet;
mod ports;
mod rounds;
mod source;
pub mod store;
pub mod target;
mod tmpfs;

pub use clock::ManualClock;
pub use fleet::{MemoryFleetRepo, PushFault};
pub use ports::free_port;
pub use rounds::{asked_rounds, deaths, rounds};
pub use source::{MemorySource, SourceCall};
pub use store::MemoryStore;
pub use target::MemoryTarget;
pub use tmpfs::Tmpfs;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked elsewhere leaves the state as it was; looking at it is still right.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
