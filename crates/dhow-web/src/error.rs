//! The error policy: which failure becomes which status, once and for all routes.

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::control::ControlError;
use crate::shape::{ErrorBody, ErrorDetail};
use crate::token::{Identity, Permission, TokenError};

/// An answer `{"error": {"code", "message"}}` with its status.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// It says nothing of dhow that somebody should look at.
    expected: bool,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), expected: false }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub fn too_large(limit: usize) -> Self {
        let message = format!("the request's body is larger than {} KiB", limit >> 10);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn method_not_allowed() -> Self {
        let message = "this path does not know that method; /api/v1/openapi.json lists what there is";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// An answer to probes, which ask often: it is told to them, and not to the log.
    pub fn not_yet(message: impl Into<String>) -> Self {
        Self { expected: true, ..Self::busy(message) }
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    }

    /// No token, or none that we know. It says the same for both: what was sent is nobody's business.
    pub fn unauthorized(needs: Permission) -> Self {
        let message = format!(
            "this needs a token with the role {}, sent in the header `Authorization: Bearer <token>`; \
             there was none, or it is not known here",
            needs.roles()
        );
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub fn forbidden(identity: &Identity, needs: Permission) -> Self {
        let message = format!(
            "the token {} has the role {}; this needs the role {}",
            identity.name,
            identity.role,
            needs.roles()
        );
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() && !self.expected {
            tracing::warn!(status = self.status.as_u16(), message = %self.message, "a request failed");
        }
        let detail = ErrorDetail { code: self.code.into(), message: self.message };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"dhow\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Refused(message) => Self::new(StatusCode::CONFLICT, "refused", message),
            ControlError::NotFound(message) => Self::not_found(message),
            ControlError::Failed(message) => Self::internal(message),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let message = error.to_string();
        match error {
            TokenError::Exists(_) | TokenError::LastAdmin(_) => {
                Self::new(StatusCode::CONFLICT, "refused", message)
            }
            TokenError::NotFound(_) => Self::not_found(message),
            TokenError::Name(_) => Self::bad_request(message),
            TokenError::Store(_) | TokenError::System(_) => Self::internal(message),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl ApiError {
    /// A body that could not be read, with the limit that it may have broken.
    pub fn body(rejection: &BytesRejection, limit: usize) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(limit),
            _ => Self::bad_request(rejection.body_text()),
        }
    }
}
