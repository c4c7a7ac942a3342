//! What comes in: bodies, paths and queries, with errors in our own shape.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use dhow_core::noun::{EnvironmentName, ServiceName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Most bytes of a request's body.
pub(crate) const MAX_BODY: usize = 64 << 10;
/// Most bytes of a text that a person gives: a reason, an id, a version.
const MAX_TEXT: usize = 2_000;

/// A JSON body. No body is the same as `{}`.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|e| ApiError::body(&e, MAX_BODY))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(text);
        value
            .map(Self)
            .map_err(|e| ApiError::bad_request(format!("the request's body is not as it should be: {e}")))
    }
}

/// The query of a request. Keys that the route does not know are refused.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(ApiError))]
pub(crate) struct Params<T>(pub T);

/// `{service}/{environment}` of a path.
#[derive(FromRequestParts, Deserialize)]
#[from_request(via(Path), rejection(ApiError))]
pub(crate) struct Scope {
    pub service: ServiceName,
    pub environment: EnvironmentName,
}

/// A text that a person gave, with an upper bound.
pub(crate) fn bounded(what: &str, text: String) -> Result<String, ApiError> {
    if text.len() > MAX_TEXT {
        return Err(ApiError::bad_request(format!("{what} is longer than {MAX_TEXT} bytes")));
    }
    Ok(text)
}
