use axum::Json;
use axum::extract::State;
use dhow_core::noun::{EnvironmentName, ServiceName};
use serde::Deserialize;

use crate::body::Params;
use crate::error::ApiError;
use crate::shape::Status;
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
    environment: Option<EnvironmentName>,
}

pub(crate) async fn show(
    State(state): State<AppState>,
    Params(query): Params<Query>,
) -> Result<Json<Status>, ApiError> {
    let mut status = state.control.status(query.service).await?;
    if let Some(environment) = query.environment.map(|e| state.control.environment(e)) {
        status.deployments.retain(|d| d.environment == environment);
        status.proposals.retain(|p| p.environment == environment);
        status.holds.retain(|h| h.environment == environment);
    }
    Ok(Json(status))
}
