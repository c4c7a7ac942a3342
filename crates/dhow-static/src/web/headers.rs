use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Body;

use super::body::SiteBody;
use super::encoding::Encoding;
use super::file::File;

/// What the client's headers have to do with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vary {
    Encoding,
    /// Whether this page or another answers depends on Accept.
    AcceptAndEncoding,
}

/// The headers that a file's answer has whatever its status.
pub(super) fn of_file(file: &File, etag: Option<HeaderValue>, vary: Vary) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CACHE_CONTROL, file.cache_control.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(etag) = etag {
        headers.insert(ETAG, etag);
    }
    match (vary, file.negotiated()) {
        (Vary::Encoding, true) => {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        (Vary::AcceptAndEncoding, _) => {
            headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        }
        (Vary::Encoding, false) => {}
    }
    headers
}

/// The headers that describe the content, only where content is sent or would be.
pub(super) fn describe(headers: &mut HeaderMap, file: &File, encoding: Option<Encoding>) {
    headers.insert(CONTENT_TYPE, file.content_type.clone());
    match encoding {
        Some(encoding) => {
            headers.insert(CONTENT_ENCODING, encoding.header());
        }
        None => {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
    }
}

pub(super) fn response(status: StatusCode, headers: HeaderMap, body: SiteBody) -> Response<SiteBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The answer to HEAD: all headers of the answer to GET, its length too where it is known, and no body.
pub(super) fn without_body(response: Response<SiteBody>) -> Response<SiteBody> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, SiteBody::Bytes(bytes::Bytes::new()))
}
