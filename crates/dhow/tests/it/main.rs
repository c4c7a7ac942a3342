//! The whole binary: real processes, real Git, the embedded registry, and clients that are not ours. No test sleeps: each
//! waits for output, for events or for `dhow wait`, with a deadline.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod approvals;
mod bad_input;
mod crash;
mod demo;
mod docker;
mod faults;
mod fleets;
mod offline;
mod publish;
mod room;
mod secrets;
mod servers;
mod skopeo;
mod ssh;
mod start_stop;
mod support;
mod tokens;
