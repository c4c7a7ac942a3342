//! Who asks, and whether they may.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};
use secrecy::SecretString;

use crate::error::ApiError;
use crate::token::{Permission, Tokens};

/// What stands before a route.
#[derive(Clone)]
pub(crate) struct Guard {
    pub tokens: Tokens,
    pub needs: Permission,
}

/// Lets a request through whose token has the permission, and tells the route who it is. The body is not read before.
pub(crate) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let needs = guard.needs;
    let secret = bearer(request.headers()).ok_or_else(|| ApiError::unauthorized(needs))?;
    let identity = guard.tokens.check(&secret).await?.ok_or_else(|| ApiError::unauthorized(needs))?;
    if !identity.may(needs) {
        return Err(ApiError::forbidden(&identity, needs));
    }
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

/// The token of the one `Authorization: Bearer` header. Never of the query: queries stand in logs.
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| SecretString::from(token))
}
