//! Updates on their way into the fleet.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::noun::{ArtifactName, EnvironmentName, PersonName, Pin, ServiceName};
use crate::port::{CommitId, Record, Table};
use crate::rollout::Why;

/// A rollback's edit: scalars that still hold a failed version get `back`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The version that failed or is left.
    pub failed: Pin,
    /// The version of the last healthy release.
    pub back: Pin,
    /// Versions that failed before, where the edit away from them was not made yet: the fleet may hold any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Pin>,
}

impl Restore {
    /// From one version to another.
    pub fn new(failed: Pin, back: Pin) -> Self {
        Self { failed, back, earlier: Vec::new() }
    }

    /// From any of these versions to another; `None` where none of them is another.
    pub fn of_all(left: impl IntoIterator<Item = Pin>, back: Pin) -> Option<Self> {
        let mut seen = BTreeSet::from([back.digest]);
        let mut left = left.into_iter().filter(|pin| seen.insert(pin.digest));
        let failed = left.next()?;
        Some(Self { failed, back, earlier: left.collect() })
    }

    /// Takes up an edit that waits.
    #[must_use]
    pub fn after(mut self, waiting: Self) -> Self {
        self.earlier = waiting.earlier;
        self.earlier.push(waiting.failed);
        self.earlier.retain(|pin| pin.digest != self.failed.digest && pin.digest != self.back.digest);
        self
    }

    /// The versions that are to go.
    pub fn left(&self) -> impl Iterator<Item = &Pin> {
        std::iter::once(&self.failed).chain(&self.earlier)
    }
}

/// An update that is ready to be committed. Key: `service/environment`, for rollbacks `service/environment/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRow {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// The versions that are wanted; all artifacts that change.
    pub pins: BTreeMap<ArtifactName, Pin>,
    /// For rollbacks: only what still holds a failed version is changed.
    pub restore: BTreeMap<ArtifactName, Restore>,
    /// Why.
    pub why: Why,
    /// Who asked, where a person did.
    pub by: Option<PersonName>,
    /// The approved proposal that it comes from.
    pub proposal: Option<String>,
}

impl UpdateRow {
    /// The service and the environment that it is about.
    pub fn scope(&self) -> (ServiceName, EnvironmentName) {
        (self.service.clone(), self.environment.clone())
    }

    /// The key of the update of a service in an environment.
    pub fn key_of(service: &ServiceName, environment: &EnvironmentName, why: Why) -> String {
        match why {
            Why::Rollback => format!("{service}/{environment}/rollback"),
            _ => format!("{service}/{environment}"),
        }
    }
}

impl Record for UpdateRow {
    const TABLE: Table = Table::Updates;
    fn key(&self) -> String {
        Self::key_of(&self.service, &self.environment, self.why)
    }
    fn open(&self) -> bool {
        true
    }
}

/// A commit that may or may not have reached the remote. Key: `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAttempt {
    /// The commit.
    pub commit: CommitId,
    /// Its parent.
    pub parent: CommitId,
    /// Keys of the updates in it, with their revisions.
    pub updates: BTreeMap<String, u64>,
    /// It is known to be on the branch: one of our own commits.
    pub done: bool,
}

impl CommitAttempt {
    /// Its key.
    pub fn key_of(commit: &CommitId) -> String {
        format!("commit/{commit}")
    }
}

impl Record for CommitAttempt {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::key_of(&self.commit)
    }
    fn open(&self) -> bool {
        !self.done
    }
}
