use axum::Json;
use axum::extract::State;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::body::{Body, Params};
use crate::control::Outcome;
use crate::error::ApiError;
use crate::shape::{TokenCreated, TokenList, TokenRequest, TokenView, rfc3339};
use crate::state::AppState;
use crate::token::TokenName;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    name: TokenName,
}

pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<TokenList>, ApiError> {
    let rows = state.tokens.list().await?.into_iter();
    let views = rows.map(|row| TokenView {
        name: row.name,
        role: row.role,
        person: row.person,
        created: rfc3339(row.created_ms),
    });
    Ok(Json(TokenList { tokens: views.collect() }))
}

pub(crate) async fn add(
    State(state): State<AppState>,
    Body(TokenRequest { name, role, person }): Body<TokenRequest>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    let new = state.tokens.add(name, role, person).await?;
    tracing::info!(name = %new.row.name, role = %new.row.role, person = %new.row.person, "a token was added");
    let created = TokenCreated {
        name: new.row.name,
        role: new.row.role,
        person: new.row.person,
        token: new.secret.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

pub(crate) async fn remove(
    State(state): State<AppState>,
    Params(Query { name }): Params<Query>,
) -> Result<Json<Outcome>, ApiError> {
    state.tokens.remove(name.clone()).await?;
    tracing::info!(%name, "a token was removed");
    Ok(Json(Outcome { message: format!("the token {name} is removed and refused from now on") }))
}
