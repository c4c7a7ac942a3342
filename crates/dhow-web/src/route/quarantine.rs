use axum::extract::State;
use axum::{Extension, Json};
use dhow_core::noun::{EnvironmentName, ImageReference, ServiceName};
use serde::Deserialize;

use super::whole;
use crate::body::{Body, Params, bounded};
use crate::control::Outcome;
use crate::error::ApiError;
use crate::shape::{QuarantineList, QuarantineRequest};
use crate::state::AppState;
use crate::token::Identity;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    service: Option<ServiceName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    service: ServiceName,
    environment: EnvironmentName,
    reference: ImageReference,
}

pub(crate) async fn list(
    State(state): State<AppState>,
    Params(query): Params<Query>,
) -> Result<Json<QuarantineList>, ApiError> {
    Ok(Json(QuarantineList { quarantined: state.control.quarantine_list(query.service).await? }))
}

pub(crate) async fn add(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Body(body): Body<QuarantineRequest>,
) -> Result<Json<Outcome>, ApiError> {
    let QuarantineRequest { service, environment, reference, reason } = body;
    let reason = bounded("the reason", reason)?;
    if reason.trim().is_empty() {
        return Err(ApiError::bad_request("the reason is empty; say why nobody should run this version"));
    }
    let actor = identity.actor();
    whole(async move { state.control.quarantine_add(actor, service, environment, reference, reason).await })
        .await
}

pub(crate) async fn remove(
    State(state): State<AppState>,
    Extension(identity): Extension<Identity>,
    Params(Key { service, environment, reference }): Params<Key>,
) -> Result<Json<Outcome>, ApiError> {
    let actor = identity.actor();
    whole(async move { state.control.quarantine_remove(actor, service, environment, reference).await }).await
}
