use axum::Json;
use axum::extract::State;
use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::EventQuery;
use serde::Deserialize;

use crate::body::Params;
use crate::error::ApiError;
use crate::shape::History;
use crate::state::AppState;

/// Events of one answer where no limit is given.
const DEFAULT_LIMIT: usize = 100;
/// Most events of one answer.
const MAX_LIMIT: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
    environment: Option<EnvironmentName>,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    before: u64,
    #[serde(default)]
    newest_first: bool,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<Query>,
) -> Result<Json<History>, ApiError> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit is {limit}; it may be 1 to {MAX_LIMIT}")));
    }
    let query = EventQuery {
        after: query.after,
        before: query.before,
        service: query.service,
        environment: query.environment,
        descending: query.newest_first,
        limit,
    };
    Ok(Json(History { events: state.control.history(query).await? }))
}
