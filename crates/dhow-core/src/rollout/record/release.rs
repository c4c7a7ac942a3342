//! What deployments were given, and what of it was proven.

use serde::{Deserialize, Serialize};

use crate::fleet::{CheckSpec, DesiredHash};
use crate::noun::{DeploymentId, Pin};
use crate::port::{CommitId, Record, Rendered, Table};

/// What a deployment was given at one time. Key: `service/type/environment/<hash>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Whose.
    pub deployment: DeploymentId,
    /// Which.
    pub hash: DesiredHash,
    /// The fleet's commit it was first made from.
    pub commit: CommitId,
    /// What it runs, in the target's words.
    pub rendered: Rendered,
    /// Hash of all that is in it but the versions: two releases with equal `files` differ in versions only.
    pub files: DesiredHash,
    /// What it must pass, as its commit says; empty: the default of its type.
    pub checks: Vec<CheckSpec>,
    /// When it last became healthy, milliseconds since 1970; none: never.
    pub healthy_at_ms: Option<i64>,
}

impl Record for Release {
    const TABLE: Table = Table::Releases;
    fn key(&self) -> String {
        format!("{}/{}", self.deployment, self.hash)
    }
}

/// A digest ran healthy in a deployment: kept for ever. Key: `service/type/environment/<repository>@<digest>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Where.
    pub deployment: DeploymentId,
    /// What.
    pub pin: Pin,
    /// When it first did, milliseconds since 1970.
    pub at_ms: i64,
}

impl Record for Proof {
    const TABLE: Table = Table::Proofs;
    fn key(&self) -> String {
        format!("{}/{}@{}", self.deployment, self.pin.repository, self.pin.digest)
    }
}
