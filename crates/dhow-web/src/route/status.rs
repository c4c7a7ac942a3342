use axum::Json;
use axum::extract::State;
use dhow_core::noun::ServiceName;
use serde::Deserialize;

use crate::body::Params;
use crate::error::ApiError;
use crate::shape::Status;
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
}

pub(crate) async fn show(
    State(state): State<AppState>,
    Params(query): Params<Query>,
) -> Result<Json<Status>, ApiError> {
    Ok(Json(state.control.status(query.service).await?))
}
