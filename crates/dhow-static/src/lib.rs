//! Static files: releases on disk, and the web server in front of them.
//!
//! - [`unpack`] turns an archive or a list of files into a folder and a [`Manifest`], and refuses whatever
//!   could leave that folder or fill the disk.
//! - [`releases`] keeps the unpacked releases of every deployment and says which one is current, by one
//!   symlink that is switched atomically.
//! - [`web`] serves the live releases by host name. A request sees exactly one release.
//! - [`candidate`] serves a release that is not live yet, on a socket that only this process's user can reach.
//! - [`target`] makes all of it a target of rollouts.

pub mod candidate;
mod disk;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod manifest;
pub mod releases;
mod server;
pub mod target;
pub mod unpack;
pub mod web;

pub use candidate::Candidate;
pub use manifest::{CachePolicy, FileEntry, Manifest, ServeOptions};
pub use releases::{Drift, Note, Release, ReleaseError, Releases};
pub use target::{StaticTarget, StaticTargetConfig};
pub use unpack::{Content, Limits, Refusal, UnpackError};
pub use web::{HostTaken, LiveRelease, Resources, Sites};
