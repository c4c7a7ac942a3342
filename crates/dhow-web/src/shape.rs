//! The shapes of the API's JSON. Times are RFC 3339 in UTC with milliseconds.

mod exec;

use dhow_core::noun::{EnvironmentName, ImageReference, PersonName, ServiceName};
use serde::{Deserialize, Serialize};

use crate::token::{Role, TokenName};

pub use dhow_core::report::{
    ArtifactStatus, DeploymentPlan, DeploymentStatus, HistoryEntry, LogEntry, OpenHold, OpenProposal,
    PlaceStatus, PlannedStep, ProcessStatus, Processes, RoomProblem, Status, rfc3339,
};
pub use exec::{ExecEntry, ExecRequest};

/// What `history` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The facts.
    pub events: Vec<HistoryEntry>,
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
