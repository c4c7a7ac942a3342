//! What is promised of places and of the proxies in front of them, against real shells, servers, proxies and faults.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod contract;
mod inspect;
mod killed;
mod proxy;
mod ssh;
mod support;
