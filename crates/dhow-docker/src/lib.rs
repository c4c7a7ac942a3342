//! Docker engines as places where deployments run: executors here and over SSH, and the proxies in front of the sites.

pub mod executor;
pub mod inspect;
pub mod proxy;
