//! Bundles: a folder of files as an OCI artifact.
//!
//! The same files give the same digest, whatever the clock, the user and the order in which the disk lists them: paths
//! are sorted, times, owners and modes are fixed.

mod pack;
mod publish;

pub use pack::{PackError, Packed, pack};
pub use publish::{ARTIFACT_TYPE, PublishError, publish};
