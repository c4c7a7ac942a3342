//! Docker engines as places where deployments run: the targets `compose` and `swarm`, the executors here and over SSH, and the
//! proxies in front of the sites.

pub mod compose;
mod engine;
pub mod executor;
mod files;
pub mod front;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod inspect;
pub mod proxy;
mod room;
mod stored;
pub mod swarm;
