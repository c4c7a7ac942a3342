use axum::extract::State;
use axum::{Extension, Json};

use super::whole;
use crate::body::{Body, Scope, bounded};
use crate::control::Outcome;
use crate::error::ApiError;
use crate::shape::ApproveRequest;
use crate::state::AppState;
use crate::token::Identity;

pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
    Body(body): Body<ApproveRequest>,
) -> Result<Json<Outcome>, ApiError> {
    let id = body.id.map(|text| bounded("the proposal's id", text)).transpose()?;
    whole(async move { state.control.approve(identity.actor(), service, environment, id).await }).await
}
