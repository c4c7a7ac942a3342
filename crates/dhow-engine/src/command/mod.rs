//! What people ask of the engine: one file a verb. Whoever calls has checked the actor's role.

mod approve;
mod plan;
mod promote;
mod quarantine;
mod resume;
mod rollback;
mod sync;

use dhow_core::noun::PersonName;
use serde::{Deserialize, Serialize};

pub use plan::{DeploymentPlan, PlannedStep};
pub use rollback::RollbackTo;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person whose token it is.
    pub person: PersonName,
}

/// What came of it, for people.
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
