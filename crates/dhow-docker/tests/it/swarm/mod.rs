//! The target `swarm` on a real swarm, reached over SSH. Each test begins with the engines that it needs; see
//! `tests/engines`.

mod bench;
mod contract;
mod failing;
mod files;
mod lab;
mod messages;
mod rollout;
