//! The plain answers of the server itself.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use super::body::SiteBody;

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<SiteBody> {
    let mut response = Response::new(SiteBody::Bytes(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn unknown_host(host: &str) -> Response<SiteBody> {
    let host: String = host.chars().take(255).collect();
    plain(StatusCode::NOT_FOUND, format!("No site is served here for the host {host:?}.\n"))
}

pub(super) fn no_host() -> Response<SiteBody> {
    plain(StatusCode::BAD_REQUEST, "The request must have exactly one Host header.\n")
}

pub(super) fn bad_path(problem: &str) -> Response<SiteBody> {
    plain(StatusCode::BAD_REQUEST, format!("The path {problem}.\n"))
}

pub(super) fn not_found() -> Response<SiteBody> {
    plain(StatusCode::NOT_FOUND, "There is no such page.\n")
}

pub(super) fn unreadable() -> Response<SiteBody> {
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The file could not be read as it was delivered; the server's log says why.\n",
    )
}

pub(super) fn method_not_allowed() -> Response<SiteBody> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(super) fn moved(to: &str) -> Response<SiteBody> {
    let Ok(location) = HeaderValue::try_from(to) else { return not_found() };
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    response
}
