//! The words of Dhow: validated names, identities, digests, references, versions.
//!
//! A value of one of these types was checked where it entered; nothing further in needs to look again.

mod deployment;
mod digest;
mod name;
mod reference;
mod version;

pub use deployment::{DeploymentId, TargetType};
pub use digest::Digest;
pub use name::{ArtifactName, EnvironmentName, InvalidName, PersonName, ServerName, ServiceName};
pub use reference::{ImageReference, InvalidReference, Repository, Tag};
pub use version::{Pin, SourceLabels, Version};
