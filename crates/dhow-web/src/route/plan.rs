use axum::Json;
use axum::extract::State;

use crate::body::Scope;
use crate::error::ApiError;
use crate::shape::Plans;
use crate::state::AppState;

pub(crate) async fn show(
    State(state): State<AppState>,
    Scope { service, environment }: Scope,
) -> Result<Json<Plans>, ApiError> {
    Ok(Json(Plans { plans: state.control.plan(service, environment).await? }))
}
