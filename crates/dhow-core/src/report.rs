//! What people are shown of deployments, in the shapes of the API's JSON (design section 9). Times are RFC 3339 in UTC
//! with milliseconds.

mod room;

use serde::{Deserialize, Serialize};

pub use room::{LogEntries, LogEntry, ProcessStatus, Processes, RoomProblem, Which};

use crate::noun::{ArtifactName, DeploymentId, Digest, EnvironmentName, ServiceName, Tag, TargetType};
use crate::port::{CommitId, Phase, Place};
use crate::rollout::{CheckFailure, Event, Health, Progress};

/// What `status` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The fleet's commit that was last compared.
    pub fleet_commit: Option<CommitId>,
    /// A newer one that was read and is being compared; `null` where there is none.
    #[serde(default)]
    pub fleet_head: Option<CommitId>,
    /// Every deployment, sorted.
    pub deployments: Vec<DeploymentStatus>,
    /// What people are asked.
    pub proposals: Vec<OpenProposal>,
    /// What does not go on by itself.
    #[serde(default)]
    pub holds: Vec<OpenHold>,
    /// What is wrong in the fleet's files, and what could not be done.
    pub problems: Vec<String>,
}

/// A service that gets no new versions in an environment for now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenHold {
    /// Service.
    pub service: ServiceName,
    /// Environment.
    pub environment: EnvironmentName,
    /// Why, and what lets it go on.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// Service.
    pub service: ServiceName,
    /// Type.
    #[serde(rename = "type")]
    pub target: TargetType,
    /// Environment.
    pub environment: EnvironmentName,
    /// State of the last rollout; `adopted` where there was none.
    pub phase: String,
    /// How it is.
    pub health: Health,
    /// What the fleet says.
    pub desired: Vec<ArtifactStatus>,
    /// Versions that were selected or approved, and that the fleet does not say yet.
    #[serde(default)]
    pub coming: Vec<ArtifactStatus>,
    /// What runs.
    pub running: Vec<ArtifactStatus>,
    /// The fleet's commit of what runs.
    pub fleet_commit: Option<CommitId>,
    /// Since when it is so.
    pub since: String,
    /// What it waits for; `null` where it waits for nothing.
    pub waiting_for: Option<String>,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// The check that failed, with its last answers.
    pub failure: Option<CheckFailure>,
    /// What runs where, while it is not the same everywhere; empty otherwise.
    #[serde(default)]
    pub places: Vec<PlaceStatus>,
    /// What places owe it: it is tried until they answer.
    #[serde(default)]
    pub debts: Vec<DebtStatus>,
}

/// What a place owes a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DebtStatus {
    /// Where.
    pub place: Place,
    /// `undo`: to be taken back; `release`: to be brought to what runs elsewhere; `removal`: to be removed from there.
    pub owes: String,
    /// What ran there when it was last heard of; empty where that is not known, or nothing did.
    pub runs: Vec<ArtifactStatus>,
    /// Since when.
    pub since: String,
    /// Why it was not done at the last try.
    pub error: String,
}

/// What runs at one place of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceStatus {
    /// Where.
    pub place: Place,
    /// How far the rollout is there.
    pub progress: Progress,
    /// What runs there; empty where nothing does, or while it is switched.
    pub running: Vec<ArtifactStatus>,
}

/// One artifact of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactStatus {
    /// Its name.
    pub artifact: ArtifactName,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Its digest.
    pub digest: Digest,
}

/// A question to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenProposal {
    /// Its id.
    pub id: String,
    /// Service.
    pub service: ServiceName,
    /// Environment.
    pub environment: EnvironmentName,
    /// What would change.
    pub summary: Vec<String>,
    /// How many votes are needed.
    pub needed: u32,
    /// Who said yes and counts.
    pub counted: Vec<String>,
    /// Who may not vote, as an author.
    pub authors: Vec<String>,
}

/// One line of history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the event.
    pub seq: u64,
    /// When.
    pub at: String,
    /// The fact.
    #[serde(flatten)]
    pub event: Event,
}

/// What a rollout of one deployment would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentPlan {
    /// Which.
    pub deployment: DeploymentId,
    /// The release that it would run; `null` where that cannot be told.
    pub release: Option<String>,
    /// The steps in their order; empty where nothing is to do.
    pub steps: Vec<PlannedStep>,
    /// What the user should know: a gap, an ignored key, a gate that it waits for.
    pub notes: Vec<String>,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// When it would be done.
    pub phase: Phase,
    /// Where.
    pub place: Place,
    /// What it would do, for people.
    pub summary: String,
}

/// What came of an action, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One sentence: what happens now, or what it waits for.
    pub message: String,
}

impl Outcome {
    /// An outcome in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTo {
    /// The healthy release before the one that runs.
    Previous,
    /// A tag, a digest, or the first digits of a release.
    Version(String),
}

/// Milliseconds since 1970 as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
