//! The executors against real shells, real servers and real faults.

mod contract;
mod inspect;
mod killed;
mod ssh;
pub mod support;
