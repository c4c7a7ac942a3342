//! Versions and tags as they were seen.

use serde::{Deserialize, Serialize};

use crate::noun::{ArtifactName, DeploymentId, Digest, Pin, Repository, Tag, Version};
use crate::port::{Record, Table};

/// What a tag pointed at when it was first seen. Key: `repository:tag`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRow {
    /// Where.
    pub repository: Repository,
    /// Which tag.
    pub tag: Tag,
    /// What it pointed at.
    pub digest: Digest,
    /// What it was last seen to point at, where that differs: told once for each.
    pub moved_to: Option<Digest>,
}

impl Record for TagRow {
    const TABLE: Table = Table::Tags;
    fn key(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// What is known of a version. Key: `repository@digest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The version.
    pub version: Version,
}

impl Record for VersionRow {
    const TABLE: Table = Table::Versions;
    fn key(&self) -> String {
        format!("{}@{}", self.version.repository, self.version.digest)
    }
}

/// What Dhow wrote where only a tag can stand: apply uses this digest, wherever the tag points. Key:
/// `pin/service/type/environment/<artifact>` (design section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenPin {
    /// In which deployment.
    pub deployment: DeploymentId,
    /// Of which artifact.
    pub artifact: ArtifactName,
    /// What was written; it counts while its tag stands there.
    pub pin: Pin,
}

impl WrittenPin {
    /// Its key.
    pub fn key_of(deployment: &DeploymentId, artifact: &ArtifactName) -> String {
        format!("pin/{deployment}/{artifact}")
    }
}

impl Record for WrittenPin {
    const TABLE: Table = Table::Tags;
    fn key(&self) -> String {
        Self::key_of(&self.deployment, &self.artifact)
    }
}
