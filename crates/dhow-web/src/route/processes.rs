use axum::Json;
use axum::extract::State;
use dhow_core::noun::{EnvironmentName, ServiceName};
use serde::Deserialize;

use crate::body::Params;
use crate::error::ApiError;
use crate::shape::Processes;
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
    environment: Option<EnvironmentName>,
}

pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<Query>,
) -> Result<Json<Processes>, ApiError> {
    let seat = state.seats.clone().try_acquire_owned();
    let _seat = seat.map_err(|_| ApiError::busy("too many look already; try again later"))?;
    Ok(Json(state.control.processes(query.service, query.environment).await?))
}
