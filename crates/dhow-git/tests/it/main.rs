//! The promises of the fleet repository, against real git.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod lab;
mod opening;
mod pushing;
mod reading;
mod signing;
mod ssh;
mod writing;
