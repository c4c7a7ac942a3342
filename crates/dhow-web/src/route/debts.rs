use axum::extract::State;
use axum::{Extension, Json};
use dhow_core::noun::ServerName;
use serde::Deserialize;

use super::whole;
use crate::body::Params;
use crate::control::Outcome;
use crate::error::ApiError;
use crate::state::AppState;
use crate::token::Identity;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    server: ServerName,
}

pub(crate) async fn remove(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Params(Query { server }): Params<Query>,
) -> Result<Json<Outcome>, ApiError> {
    whole(async move { state.control.forget_server(identity.actor(), server).await }).await
}
