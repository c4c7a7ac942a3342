//! The embedded registry and the client, over real TCP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod bundle;
mod client;
mod collect;
mod conformance;
mod engines;
mod fake;
mod push;
mod support;
