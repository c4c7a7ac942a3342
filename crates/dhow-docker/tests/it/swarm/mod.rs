//! The target `swarm`.
