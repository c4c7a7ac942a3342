//! What callers of the registry send.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::auth::{Presented, presented};
use super::{path, upload};

/// A line as a path below `/v2/`, as the bytes of a request, and as credentials.
pub(crate) fn line(text: &str) {
    if let Ok((name, _)) = path::parse(text) {
        let name = name.as_str();
        assert!(name.split('/').all(|part| !matches!(part, "" | "." | "..")), "{text:?} names {name:?}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b)));
    }
    if let Some(span) = upload::Span::parse(text) {
        assert!(span.end > span.first, "{text:?}");
    }
    if let Ok(value) = HeaderValue::from_str(text) {
        let anonymous = presented(&HeaderMap::from_iter([(AUTHORIZATION, value)]));
        assert!(!matches!(anonymous, Some(Presented::Anonymous)), "{text:?} passes for nothing at all");
    }
}
