//! Blobs: read whole or in part, deleted.

use std::fs::File;

use axum::body::Body;
use axum::response::Response;
use dhow_core::noun::Digest;
use dhow_file::FileBytes;
use http::{Method, StatusCode, header};

use super::super::blocking;
use super::super::collect::why_kept;
use super::super::disk::BLOBS;
use super::super::refusal::Refusal;
use super::{CONTENT_DIGEST, Call, empty, with_body};

/// What part of a blob is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range { first: u64, length: u64 },
    Unsatisfiable,
}

/// One range is honoured; several are answered with the whole, as HTTP allows.
fn part(header: Option<&str>, size: u64) -> Part {
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Part::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match last.parse::<u64>() {
            Ok(0) => Part::Unsatisfiable,
            Ok(suffix) if size > 0 => {
                Part::Range { first: size.saturating_sub(suffix), length: suffix.min(size) }
            }
            Ok(_) => Part::Unsatisfiable,
            Err(_) => Part::Whole,
        };
    }
    let last = if last.is_empty() { Ok(u64::MAX) } else { last.parse() };
    match (first.parse::<u64>(), last) {
        (Ok(first), Ok(last)) if first < size && last >= first => {
            Part::Range { first, length: last.min(size - 1) - first + 1 }
        }
        (Ok(_), Ok(_)) => Part::Unsatisfiable,
        _ => Part::Whole,
    }
}

pub(crate) async fn get(call: Call, digest: Digest) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let _gate = inner.gate.read().await;
    let read = call.parts.method != Method::HEAD;
    let (size, file) = blocking({
        let (disk, repository) = (inner.disk.clone(), call.repository.clone());
        move || {
            let Some(size) = disk.blob(&repository, &digest)? else { return Ok(None) };
            let file = read.then(|| File::open(disk.content(&digest))).transpose()?;
            Ok(Some((size, file)))
        }
    })
    .await?
    .ok_or_else(|| Refusal::blob_unknown(&digest.to_string()))?;
    let mut headers = vec![
        (CONTENT_DIGEST, digest.to_string()),
        (header::ETAG, format!("\"{digest}\"")),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::CONTENT_TYPE, "application/octet-stream".into()),
    ];
    let (status, first, length) = match part(call.header(header::RANGE), size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Range { first, length } => {
            headers.push((header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1)));
            (StatusCode::PARTIAL_CONTENT, first, length)
        }
        Part::Unsatisfiable => {
            return Err(Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "SIZE_INVALID",
                format!("the blob has {size} bytes"),
            )
            .with(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    headers.push((header::CONTENT_LENGTH, length.to_string()));
    match file {
        None => empty(status, &headers),
        Some(file) => {
            let bytes = FileBytes::new(&inner.buffers, file, first, length);
            with_body(status, &headers, Body::from_stream(bytes))
        }
    }
}

pub(crate) async fn delete(call: Call, digest: Digest) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let _gate = inner.gate.read().await;
    if let Some(reason) = why_kept(&call.registry, &call.repository, digest).await? {
        return Err(Refusal::in_use(&format!("blob {digest}"), &reason));
    }
    let removed = blocking({
        let (disk, repository) = (inner.disk.clone(), call.repository.clone());
        move || disk.remove(&disk.link(&repository, BLOBS, &digest))
    })
    .await?;
    if removed { empty(StatusCode::ACCEPTED, &[]) } else { Err(Refusal::blob_unknown(&digest.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob_and_impossible_ones_refused() {
        let range = |first, length| Part::Range { first, length };
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=2-4"), 10), range(2, 3));
        assert_eq!(part(Some("bytes=2-"), 10), range(2, 8));
        assert_eq!(part(Some("bytes=-3"), 10), range(7, 3));
        assert_eq!(part(Some("bytes=-30"), 10), range(0, 10));
        assert_eq!(part(Some("bytes=8-99"), 10), range(8, 2));
        assert_eq!(part(Some("bytes=10-11"), 10), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=4-2"), 10), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=0-0"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=0-1,4-5"), 10), Part::Whole);
        assert_eq!(part(Some("lines=0-1"), 10), Part::Whole);
    }
}
