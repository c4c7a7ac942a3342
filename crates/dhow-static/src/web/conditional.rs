use http::header::{IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};

use dhow_core::noun::Digest;

/// A strong tag: the bytes on the wire are exactly these.
pub(super) fn strong(digest: &Digest) -> HeaderValue {
    tag("\"", digest, "\"")
}

/// The tag of content that was compressed here: another build of this program may compress it to other bytes.
pub(super) fn gzipped(digest: &Digest) -> HeaderValue {
    tag("W/\"", digest, "-gzip\"")
}

fn tag(before: &str, digest: &Digest, after: &str) -> HeaderValue {
    // 128 bits tell contents apart; the header is sent often.
    let mut text = digest.hex();
    text.truncate(32);
    HeaderValue::try_from(format!("{before}{text}{after}")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the client has this content already (weak comparison, RFC 9110, 13.1.2).
pub(super) fn client_has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let ours = tag.to_str().map(opaque).unwrap_or_default();
    headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .map(str::trim)
            .any(|theirs| theirs == "*" || (!ours.is_empty() && opaque(theirs) == ours))
    })
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether a range of this content is wanted: always without If-Range, else only where the strong tag is the same.
/// A date never is: files have no times here.
pub(super) fn range_applies(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers.get(IF_RANGE).is_none_or(|theirs| theirs == tag && theirs.as_bytes().starts_with(b"\""))
}
