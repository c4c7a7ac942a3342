//! Docker Engines as places where deployments run, and what stands in front of them.

pub mod proxy;
