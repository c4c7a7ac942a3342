use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderValue;

use super::caching;
use super::encoding::Encoding;
use crate::manifest::{CachePolicy, FileEntry};

/// Below this, compression saves nothing.
const COMPRESS_FROM: u64 = 1 << 10;

/// One file of a live release, with all that can be known before a request.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: Box<str>,
    pub(super) entry: FileEntry,
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: HeaderValue,
    /// Whether it is worth compressing on the fly.
    pub(super) compress: bool,
    /// Where its precompressed forms are in the release's list.
    pub(super) packed: Vec<(Encoding, usize)>,
    pub(super) bytes: OnceLock<Bytes>,
    pub(super) gzipped: OnceLock<Bytes>,
    /// A big file that was asked for stays open: opening one costs a change of threads.
    pub(super) opened: OnceLock<Arc<std::fs::File>>,
}

/// Header values that many files have in common: cloning one copies a pointer.
pub(super) struct CacheHeaders {
    pub(super) html: HeaderValue,
    pub(super) hashed: HeaderValue,
    pub(super) other: HeaderValue,
}

impl CacheHeaders {
    /// The manifest was checked where it was made; a value that is no header all the same means "ask again".
    pub(super) fn new(policy: &CachePolicy) -> Self {
        let header = |text: &str| text.parse().unwrap_or(HeaderValue::from_static("no-cache"));
        Self { html: header(&policy.html), hashed: header(&policy.hashed), other: header(&policy.other) }
    }
}

impl File {
    pub(super) fn new(path: &str, entry: FileEntry, cache: &CacheHeaders) -> Self {
        let mime = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
        let cache_control = if mime == "text/html" {
            cache.html.clone()
        } else if caching::has_content_hash(path) {
            cache.hashed.clone()
        } else {
            cache.other.clone()
        };
        Self {
            path: path.into(),
            entry,
            content_type: content_type(mime),
            cache_control,
            compress: compressible(mime) && entry.size >= COMPRESS_FROM,
            packed: Vec::new(),
            bytes: OnceLock::new(),
            gzipped: OnceLock::new(),
            opened: OnceLock::new(),
        }
    }

    /// Whether what is sent depends on Accept-Encoding.
    pub(super) fn negotiated(&self) -> bool {
        self.compress || !self.packed.is_empty()
    }
}

fn content_type(mime: &'static str) -> HeaderValue {
    match mime {
        "text/html" => HeaderValue::from_static("text/html; charset=utf-8"),
        "text/css" => HeaderValue::from_static("text/css; charset=utf-8"),
        "text/javascript" => HeaderValue::from_static("text/javascript; charset=utf-8"),
        "text/plain" => HeaderValue::from_static("text/plain; charset=utf-8"),
        text if text.starts_with("text/") || text == "application/javascript" => {
            format!("{text}; charset=utf-8").parse().unwrap_or(HeaderValue::from_static(mime))
        }
        other => HeaderValue::from_static(other),
    }
}

fn compressible(mime: &str) -> bool {
    mime.starts_with("text/")
        || mime.ends_with("+json")
        || mime.ends_with("+xml")
        || matches!(
            mime,
            "application/javascript"
                | "application/json"
                | "application/xml"
                | "application/wasm"
                | "application/manifest+json"
                | "image/bmp"
                | "image/x-icon"
                | "font/ttf"
                | "font/otf"
        )
}
