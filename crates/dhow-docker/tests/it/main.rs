//! The executors against real shells, real servers and real faults.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod contract;
mod inspect;
mod killed;
mod ssh;
mod support;
