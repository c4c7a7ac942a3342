//! The current rows: derived from events, stored in their transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::Why;
use super::state::State;
use crate::fleet::{DesiredHash, Environment};
use crate::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, PersonName, Pin, Repository, ServiceName, Tag,
    Version,
};
use crate::port::{CommitId, Record, Rendered, Step, Table};

/// How a deployment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Runs its release, and its checks pass.
    Healthy,
    /// Runs its release, and a check fails.
    Degraded,
    /// Does not run.
    Missing,
    /// Not known yet.
    #[default]
    Unknown,
}

/// A deployment: what it should run, what it runs, how it is. Key: `service/type/environment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// Which.
    pub id: DeploymentId,
    /// What the fleet says it should run.
    pub desired: Option<DesiredHash>,
    /// The versions of `desired`.
    pub desired_pins: BTreeMap<ArtifactName, Pin>,
    /// The release that runs.
    pub running: Option<DesiredHash>,
    /// The last release that was healthy.
    pub healthy_release: Option<DesiredHash>,
    /// The newest rollout, where there was one.
    pub rollout: Option<u64>,
    /// State of the newest rollout; none: adopted, or nothing yet.
    pub phase: Option<State>,
    /// It was adopted at first sight.
    pub adopted: bool,
    /// How it is.
    pub health: Health,
    /// Why it is so, where it is not healthy.
    pub reason: Option<String>,
    /// It waits for a person, with what to do.
    pub waiting_for: Option<String>,
    /// Accumulated healthy time of the running release, milliseconds of the monotonic clock.
    pub healthy_ms: u64,
    /// Since when it is as it is, milliseconds since 1970.
    pub since_ms: i64,
    /// The fleet's commit of the running release.
    pub commit: Option<CommitId>,
    /// Its folder is gone from the fleet: it is being removed, or waits for that.
    pub removing: bool,
}

impl DeploymentRow {
    /// A deployment of which nothing is known.
    pub fn new(id: DeploymentId, since_ms: i64) -> Self {
        Self {
            id,
            desired: None,
            desired_pins: BTreeMap::new(),
            running: None,
            healthy_release: None,
            rollout: None,
            phase: None,
            adopted: false,
            health: Health::Unknown,
            reason: None,
            waiting_for: None,
            healthy_ms: 0,
            since_ms,
            commit: None,
            removing: false,
        }
    }
}

impl Record for DeploymentRow {
    const TABLE: Table = Table::Deployments;
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Planned,
    /// Begun, end unknown.
    Started,
    /// Done.
    Done,
    /// Taken back.
    Undone,
}

/// A step of a rollout and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What it does.
    pub step: Step,
    /// How it stands.
    pub state: StepState,
}

/// The failing check and its last answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFailure {
    /// Which check.
    pub check: String,
    /// Its last answers, newest last, each cut to 500 characters; at most 5.
    pub answers: Vec<String>,
}

/// One execution: bring one deployment to one release. Key: `service/type/environment/<number, 12 digits>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number, unique in the store and growing.
    pub number: u64,
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Which release.
    pub hash: DesiredHash,
    /// The fleet's commit that it comes from.
    pub commit: CommitId,
    /// Where it stands.
    pub state: State,
    /// What ran before; where a rollback goes.
    pub before: Option<DesiredHash>,
    /// Its steps, once planned.
    pub steps: Vec<StepRecord>,
    /// It goes back to an earlier release: gates and windows do not hold it.
    pub is_rollback: bool,
    /// Why it failed, or waits, or was ended.
    pub reason: Option<String>,
    /// The check that failed.
    pub failure: Option<CheckFailure>,
    /// What the plan said, for people.
    pub notes: Vec<String>,
    /// Its version is to blame for the failure, not that a newer one waited or that another deployment failed.
    #[serde(default)]
    pub blame: bool,
    /// Cancelled by a person.
    pub cancelled_by: Option<PersonName>,
    /// Who wrote what it brings and never ran before: their votes may not count.
    #[serde(default)]
    pub authors: BTreeSet<PersonName>,
    /// When each state was reached, milliseconds since 1970.
    pub times: BTreeMap<String, i64>,
}

impl Rollout {
    /// Its key.
    pub fn key_of(deployment: &DeploymentId, number: u64) -> String {
        format!("{deployment}/{number:012}")
    }
}

impl Record for Rollout {
    const TABLE: Table = Table::Rollouts;
    fn key(&self) -> String {
        Self::key_of(&self.deployment, self.number)
    }
    fn open(&self) -> bool {
        !self.state.is_final()
    }
}

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
    /// When it was last healthy, milliseconds since 1970; none: never.
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

/// A rollback's edit: scalars that still hold `failed` get `back`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The version that failed or is left.
    pub failed: Pin,
    /// The version of the last healthy release.
    pub back: Pin,
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
    /// The commit on the proposal's branch.
    pub commit: Option<CommitId>,
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
    /// Desired hashes that are not rolled out.
    pub hashes: BTreeSet<DesiredHash>,
    /// Versions up to which (inclusive) nothing is selected; a newer one lifts it.
    pub up_to: BTreeMap<ArtifactName, Pin>,
    /// What runs meanwhile, by deployment: the hold of hashes ends when the fleet says it and it runs.
    pub instead: BTreeMap<DeploymentId, DesiredHash>,
    /// Files changed too: updates wait until the files change.
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
}

impl Record for Hold {
    const TABLE: Table = Table::Holds;
    fn key(&self) -> String {
        Self::key_of(&self.service, &self.environment)
    }
}

/// The gates in force in an environment (design rule 5.1). Key: the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatesRow {
    /// The environment as it is in force.
    pub environment: Environment,
    /// A looser one that the fleet says and that is refused.
    pub refused: Option<String>,
}

impl Record for GatesRow {
    const TABLE: Table = Table::Gates;
    fn key(&self) -> String {
        self.environment.name.to_string()
    }
}

/// Where the fleet stands for us. Key: `fleet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetCursor {
    /// The last commit that was compared, deployment by deployment.
    pub commit: CommitId,
    /// What could not be told then, a registry being down: asked again, with who wrote it.
    #[serde(default)]
    pub later: BTreeMap<DeploymentId, BTreeSet<PersonName>>,
}

impl FleetCursor {
    /// Its key.
    pub const KEY: &'static str = "fleet";
}

impl Record for FleetCursor {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::KEY.into()
    }
}
