//! The API as its callers see it, with an engine that only remembers what it was asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod bounds;
mod engine;
mod events;
mod fixture;
mod room;
mod shapes;
mod tokens;
