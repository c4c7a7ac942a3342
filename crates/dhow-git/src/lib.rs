//! The fleet repository: one bare mirror, objects in process, network through the git command.
//!
//! [`GitFleet`] implements [`dhow_core::port::FleetRepo`].
//!
//! - Objects (trees, history, new commits) are read and written in process, in a bare mirror below the state folder.
//! - The network is left to `git`, so that SSH configuration, credential helpers and proxies work as the user has them.
//! - A remote on this machine is read in process as well, so that asking for nothing new costs next to nothing.

mod command;
mod config;
mod diff;
mod fleet;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod history;
mod identity;
mod init;
mod leftovers;
mod local;
mod mirror;
mod network;
mod outcome;
mod redact;
mod remote;
mod tree;
mod upkeep;
mod write;

pub use config::{GitFleetConfig, Identity};
pub use fleet::GitFleet;
pub use init::init_bare;
