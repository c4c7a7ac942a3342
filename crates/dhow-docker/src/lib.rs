//! Docker engines as places where deployments run: the target `compose`, the executors here and over SSH, and the
//! proxies in front of the sites.

pub mod compose;
pub mod executor;
pub mod inspect;
pub mod proxy;
mod room;
