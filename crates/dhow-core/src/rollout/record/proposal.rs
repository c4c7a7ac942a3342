//! Questions to people, and their answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fleet::DesiredHash;
use crate::noun::{ArtifactName, DeploymentId, EnvironmentName, PersonName, Pin, ServiceName};
use crate::port::{CommitId, Record, Table};
use crate::rollout::Why;

/// How a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// People are asked.
    Open,
    /// Enough said yes.
    Approved,
    /// Someone said no.
    Rejected,
    /// A newer one took its place, or what it proposed is not to be had any more.
    Withdrawn,
    /// What it named changed: asked anew.
    Void,
}

/// What people are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// May this update be committed?
    Update {
        /// The versions.
        pins: BTreeMap<ArtifactName, Pin>,
        /// Why it is proposed.
        why: Why,
        /// Who asked for it.
        by: Option<PersonName>,
    },
    /// May what a person committed be rolled out?
    Rollout {
        /// The commit.
        commit: CommitId,
    },
    /// May these deployments be removed?
    Removal,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub person: PersonName,
    /// Yes or no.
    pub approve: bool,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// A question to people about a service in an environment. Key: `service/environment/<id>`; ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its id.
    pub id: String,
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// What is asked.
    pub ask: Ask,
    /// Exactly what would run: the approval is void when this changes.
    pub hashes: BTreeMap<DeploymentId, DesiredHash>,
    /// Whose votes may not count.
    pub authors: BTreeSet<PersonName>,
    /// The answers, one a person.
    pub votes: Vec<Vote>,
    /// How it stands.
    pub status: ProposalStatus,
    /// What would change, for people.
    pub summary: Vec<String>,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: i64,
}

impl Record for Proposal {
    const TABLE: Table = Table::Proposals;
    fn key(&self) -> String {
        format!("{}/{}/{}", self.service, self.environment, self.id)
    }
    fn open(&self) -> bool {
        self.status == ProposalStatus::Open
    }
}

/// The branch on which a proposal is shown: where there is none, there is no row. Key: `branch/service/environment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalBranch {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// The proposal that it shows.
    pub proposal: String,
    /// The push came to its end; else the branch may be there, or not, or show another one.
    pub shown: bool,
}

impl ProposalBranch {
    /// How its keys begin.
    pub const PREFIX: &str = "branch/";
}

impl Record for ProposalBranch {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        format!("{}{}/{}", Self::PREFIX, self.service, self.environment)
    }
    fn open(&self) -> bool {
        true
    }
}

/// Exactly this may run there. Key: `service/type/environment/<hash>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovedHash {
    /// Where.
    pub deployment: DeploymentId,
    /// What.
    pub hash: DesiredHash,
    /// The proposal that asked.
    pub proposal: String,
    /// Who said yes.
    pub by: Vec<PersonName>,
}

impl ApprovedHash {
    /// Its key.
    pub fn key_of(deployment: &DeploymentId, hash: &DesiredHash) -> String {
        format!("{deployment}/{hash}")
    }
}

impl Record for ApprovedHash {
    const TABLE: Table = Table::Approvals;
    fn key(&self) -> String {
        Self::key_of(&self.deployment, &self.hash)
    }
}
