use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::AppState;

/// The process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// The fleet was read and the engine works.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    if state.shutdown.is_cancelled() {
        return Err(ApiError::not_yet("dhow is stopping"));
    }
    if let Some(why) = state.control.not_ready() {
        return Err(ApiError::not_yet(why));
    }
    Ok(Json(json!({"status": "ready"})))
}
