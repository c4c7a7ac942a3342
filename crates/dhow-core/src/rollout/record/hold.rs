//! What must not go on by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fleet::DesiredHash;
use crate::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, PersonName, Pin, Repository, ServiceName,
};
use crate::port::{Record, Table};

/// A digest that is not to be selected. Key: `service/environment/<repository>@<digest>` (design rule 5.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment, and in those promoted from it.
    pub environment: EnvironmentName,
    /// What.
    pub pin: Pin,
    /// Why.
    pub reason: String,
    /// Who put it there; none: a failed rollout.
    pub by: Option<PersonName>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

impl Quarantined {
    /// Its key.
    pub fn key_of(
        service: &ServiceName,
        environment: &EnvironmentName,
        repository: &Repository,
        digest: &Digest,
    ) -> String {
        format!("{service}/{environment}/{repository}@{digest}")
    }
}

impl Record for Quarantined {
    const TABLE: Table = Table::Quarantine;
    fn key(&self) -> String {
        Self::key_of(&self.service, &self.environment, &self.pin.repository, &self.pin.digest)
    }
}

/// Why a hold is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// A rollout failed.
    Failed,
    /// A person went back by command.
    RolledBackByCommand,
    /// A person's commit lowered a version.
    LoweredByCommit,
    /// A person rejected it.
    Rejected,
    /// A person cancelled it.
    Cancelled,
}

/// What must not go on by itself. Key: `service/environment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// Desired hashes that are not rolled out, by deployment. Ends when the fleet says something else.
    pub hashes: BTreeMap<DeploymentId, BTreeSet<DesiredHash>>,
    /// Desired hashes that people said no to: not proposed again.
    pub rejected: BTreeMap<DeploymentId, BTreeSet<DesiredHash>>,
    /// Versions up to which (inclusive) nothing is selected; a newer one lifts it.
    pub up_to: BTreeMap<ArtifactName, Pin>,
    /// Files are to blame, or may be: updates wait until the fleet says something else.
    pub files: bool,
    /// Why.
    pub reason: HoldReason,
    /// In words.
    pub message: String,
    /// Who set it; none: a failed rollout.
    pub by: Option<PersonName>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

impl Hold {
    /// Its key.
    pub fn key_of(service: &ServiceName, environment: &EnvironmentName) -> String {
        format!("{service}/{environment}")
    }

    /// A hold that holds nothing yet.
    pub fn new(service: ServiceName, environment: EnvironmentName, reason: HoldReason, at_ms: i64) -> Self {
        Self {
            service,
            environment,
            hashes: BTreeMap::new(),
            rejected: BTreeMap::new(),
            up_to: BTreeMap::new(),
            files: false,
            reason,
            message: String::new(),
            by: None,
            at_ms,
        }
    }

    /// Whether a release of a deployment is held.
    pub fn holds(&self, deployment: &DeploymentId, hash: &DesiredHash) -> bool {
        self.hashes.get(deployment).is_some_and(|held| held.contains(hash))
    }

    /// Nothing is held any more.
    pub fn is_over(&self) -> bool {
        self.hashes.is_empty() && self.rejected.is_empty() && self.up_to.is_empty() && !self.files
    }
}

impl Record for Hold {
    const TABLE: Table = Table::Holds;
    fn key(&self) -> String {
        Self::key_of(&self.service, &self.environment)
    }
}
