//! What visitors send.

use dhow_core::noun::Digest;
use http::header::{ACCEPT, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};

use super::range::{Wanted, wanted};
use super::{accept, conditional, path};

/// A line as a path, as a range, and as other headers.
pub(crate) fn line(text: &str) {
    if let Ok(path) = path::decode(text) {
        assert!(path.split('/').all(|part| !matches!(part, "." | "..")), "{text:?} is {path:?}");
        assert!(!path.contains(['\\', '\0']), "{text:?} is {path:?}");
    }
    for size in [0, 1, 10, u64::MAX] {
        if let Wanted::Part { first, last } = wanted(text, size) {
            assert!(first <= last && last < size, "{text:?} of {size} bytes is {first} to {last}");
        }
    }
    assert!(accept::quality(text) <= 1000, "{text:?}");
    let Ok(value) = HeaderValue::from_str(text) else { return };
    let headers: HeaderMap =
        [ACCEPT, IF_NONE_MATCH, IF_RANGE].into_iter().map(|name| (name, value.clone())).collect();
    let _ = accept::accepts_html(&headers);
    let tag = conditional::strong(&Digest::of(b"x"));
    let _ = conditional::client_has(&headers, &tag);
    let applies = conditional::range_applies(&headers, &tag);
    assert!(!applies || value == tag, "a range of another file applies: {text:?}");
}
