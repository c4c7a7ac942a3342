//! Answers that say no, in the form of the distribution specification ("Error Codes").

use std::io;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::in_use::InUseUnknown;

/// An error of the specification: status, code and a message for a person.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(header::HeaderName, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "a token is needed: `docker login` with any user name and the token as password",
        )
        .with(header::WWW_AUTHENTICATE, "Basic realm=\"dhow\", charset=\"UTF-8\"")
    }

    pub fn denied(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", reason)
    }

    pub fn in_use(what: &str, reason: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "DENIED", format!("{what} is in use and stays: {reason}"))
    }

    pub fn name_invalid(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", format!("{text:?} is no name of a repository"))
    }

    pub fn name_unknown(text: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("there is no repository {text}"))
    }

    pub fn blob_unknown(digest: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("this repository has no blob {digest}"))
    }

    pub fn manifest_unknown(reference: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "MANIFEST_UNKNOWN",
            format!("this repository has no manifest {reference}"),
        )
    }

    pub fn manifest_blob_unknown(digest: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "MANIFEST_BLOB_UNKNOWN",
            format!("the manifest names {digest}, which this repository does not have; push it first"),
        )
    }

    pub fn manifest_invalid(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", problem)
    }

    pub fn digest_invalid(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", problem)
    }

    pub fn upload_unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "BLOB_UPLOAD_UNKNOWN",
            "there is no such upload; it ended, or was idle for a day",
        )
    }

    pub fn upload_invalid(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", problem)
    }

    pub fn too_large(code: &'static str, limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code,
            format!("the content is larger than the limit of {limit} bytes"),
        )
    }

    pub fn method(method: &http::Method) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("{method} is not possible here"))
    }
}

impl Refusal {
    /// There is no room for what was pushed.
    pub fn is_full(&self) -> bool {
        self.status == StatusCode::INSUFFICIENT_STORAGE
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the registry cannot use its disk");
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "UNKNOWN",
                "the registry's disk is full; nothing was stored: make room there, then push again",
            );
        }
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNKNOWN",
            "the registry cannot use its disk; its log says which file and why",
        )
    }
}

impl From<InUseUnknown> for Refusal {
    fn from(error: InUseUnknown) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNKNOWN", format!("nothing was deleted: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = (self.status, axum::Json(body)).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
