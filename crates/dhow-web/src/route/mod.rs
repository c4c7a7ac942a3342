//! One file a resource or verb. Who may call is decided in front of these, on the page of routes.

pub(crate) mod approve;
pub(crate) mod debts;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod health;
pub(crate) mod history;
mod lines;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod processes;
pub(crate) mod promote;
pub(crate) mod quarantine;
pub(crate) mod reject;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod tokens;

use axum::Json;

use crate::control::{ControlError, Outcome};
use crate::error::ApiError;

/// Runs an action to its end in a task of its own: a caller who hangs up does not cut it off in the middle.
async fn whole(
    action: impl Future<Output = Result<Outcome, ControlError>> + Send + 'static,
) -> Result<Json<Outcome>, ApiError> {
    let done = tokio::spawn(action).await;
    let outcome = done.map_err(|error| {
        tracing::error!(%error, "an action met a defect of dhow");
        ApiError::internal("this action met a defect of dhow; its log says more")
    });
    Ok(Json(outcome??))
}
