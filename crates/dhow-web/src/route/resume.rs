use axum::extract::State;
use axum::{Extension, Json};

use super::whole;
use crate::body::Scope;
use crate::control::Outcome;
use crate::error::ApiError;
use crate::state::AppState;
use crate::token::Identity;

pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
) -> Result<Json<Outcome>, ApiError> {
    whole(async move { state.control.resume(identity.actor(), service, environment).await }).await
}
