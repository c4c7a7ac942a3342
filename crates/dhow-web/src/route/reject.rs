use axum::extract::State;
use axum::{Extension, Json};

use super::whole;
use crate::body::{Body, Scope, bounded};
use crate::control::Outcome;
use crate::error::ApiError;
use crate::shape::RejectRequest;
use crate::state::AppState;
use crate::token::Identity;

pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
    Body(body): Body<RejectRequest>,
) -> Result<Json<Outcome>, ApiError> {
    let reason = body.reason.map(|text| bounded("the reason", text)).transpose()?;
    whole(async move { state.control.reject(identity.actor(), service, environment, body.id, reason).await })
        .await
}
