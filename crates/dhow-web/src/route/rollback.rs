use axum::extract::State;
use axum::{Extension, Json};

use super::whole;
use crate::body::{Body, Scope, bounded};
use crate::control::{Outcome, RollbackTo};
use crate::error::ApiError;
use crate::shape::RollbackRequest;
use crate::state::AppState;
use crate::token::Identity;

pub(crate) async fn act(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Scope { service, environment }: Scope,
    Body(body): Body<RollbackRequest>,
) -> Result<Json<Outcome>, ApiError> {
    let to = body.to.map(|text| bounded("the version", text)).transpose()?;
    let to = to.map_or(RollbackTo::Previous, RollbackTo::Version);
    whole(async move { state.control.rollback(identity.actor(), service, environment, to).await }).await
}
