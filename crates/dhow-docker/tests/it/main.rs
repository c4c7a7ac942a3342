//! What is promised of places, of the proxies in front of them, and of what runs there, on real engines.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod compose;
mod executor;
mod front;
mod proxy;
mod swarm;
