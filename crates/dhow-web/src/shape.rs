//! The shapes of the API's JSON. Times are RFC 3339 in UTC with milliseconds.

use dhow_core::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, ImageReference, PersonName, ServiceName, Tag,
    TargetType,
};
use dhow_core::port::{CommitId, Phase, Place};
use dhow_core::rollout::{CheckFailure, Event, Health};
use serde::{Deserialize, Serialize};

use crate::token::{Role, TokenName};

/// What `status` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The fleet's commit that was last compared.
    pub fleet_commit: Option<CommitId>,
    /// Every deployment, sorted.
    pub deployments: Vec<DeploymentStatus>,
    /// What people are asked.
    pub proposals: Vec<ProposalStatus>,
    /// What is wrong in the fleet's files.
    pub problems: Vec<String>,
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
pub struct ProposalStatus {
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

/// What `history` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The facts.
    pub events: Vec<HistoryEntry>,
}

/// What a rollout of one deployment would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentPlan {
    /// Which.
    pub deployment: DeploymentId,
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

/// What `plan` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plans {
    /// One a deployment.
    pub plans: Vec<DeploymentPlan>,
}

/// A digest that is not to be selected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarantineEntry {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment, and in those promoted from it.
    pub environment: EnvironmentName,
    /// What, with its digest.
    pub reference: ImageReference,
    /// Why.
    pub reason: String,
    /// Who put it there; `null`: a failed rollout.
    pub by: Option<PersonName>,
    /// When.
    pub at: String,
}

/// What `quarantine list` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarantineList {
    /// The digests.
    pub quarantined: Vec<QuarantineEntry>,
}

/// Asks for a digest to be put into quarantine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// What.
    pub reference: ImageReference,
    /// Why.
    pub reason: String,
}

/// Names the proposal that is approved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApproveRequest {
    /// Its id; none: the only open one.
    pub id: Option<String>,
}

/// Says why something is rejected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectRequest {
    /// The proposal's id; none: the only open one.
    pub id: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Says where a rollback goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// Tag, digest or start of a release's hash; none: the release before.
    pub to: Option<String>,
}

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Whose it is; none: a person of the token's name.
    #[serde(default)]
    pub person: Option<PersonName>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Whose it is.
    pub person: PersonName,
    /// When it was made.
    pub created: String,
}

/// What `token list` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenList {
    /// The tokens, by name.
    pub tokens: Vec<TokenView>,
}

/// A new token. The secret is in this answer and nowhere else.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Whose it is.
    pub person: PersonName,
    /// The secret, to be sent as `Authorization: Bearer <token>`.
    pub token: String,
}

/// The answer where something went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For programs: `unauthorized`, `forbidden`, `not_found`, `refused`, `bad_request`, ...
    pub code: String,
    /// For people.
    pub message: String,
}

/// Milliseconds since 1970 as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
