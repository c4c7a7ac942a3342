//! The target `compose` on a real engine. Each test begins with the engines that it needs; see `tests/engines`.

mod adoption;
mod beside;
mod contract;
mod data;
mod failing;
mod files;
mod killed;
mod messages;
mod rollout;
mod room;
pub mod support;
