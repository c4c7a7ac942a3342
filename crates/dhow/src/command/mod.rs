//! The commands: one file each.

pub mod demo;
pub mod policy;
pub mod publish;
pub mod serve;
pub mod update;
pub mod validate;
