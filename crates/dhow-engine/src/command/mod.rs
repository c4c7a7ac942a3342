//! What people ask of the engine: one file a verb. Whoever calls has checked the actor's role.

mod approve;
mod forget;
mod going_back;
mod plan;
mod promote;
mod quarantine;
mod resume;
mod rollback;
mod sync;

use dhow_core::noun::PersonName;
use serde::{Deserialize, Serialize};

pub use dhow_core::report::{Outcome, RollbackTo};
pub(crate) use rollback::describe;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person whose token it is.
    pub person: PersonName,
}
