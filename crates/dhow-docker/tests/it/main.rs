//! The target `compose` on a real engine. Each test begins with the engines that it needs; see `tests/engines`.

#![expect(clippy::unwrap_used, reason = "a test panics where a promise is broken")]

mod adoption;
mod beside;
mod contract;
mod data;
mod failing;
mod files;
mod killed;
mod messages;
mod rollout;
mod support;
