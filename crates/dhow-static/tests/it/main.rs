//! The promises of dhow-static, over real disks and sockets.
#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod candidate;
mod fixture;
mod http;
mod releases;
mod switching;
mod target;
mod unpacking;
mod web;
