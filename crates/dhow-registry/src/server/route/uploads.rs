//! Uploads of blobs: at once, in one stream, in chunks; mounts from other repositories.

use axum::body::Body;
use axum::response::Response;
use dhow_core::noun::Digest;
use http::{StatusCode, header};
use uuid::Uuid;

use super::super::auth::{Action, Decision};
use super::super::blocking;
use super::super::path::{RepositoryPath, digest};
use super::super::refusal::Refusal;
use super::super::upload::{Span, range};
use super::{CONTENT_DIGEST, Call, empty};

/// `POST`: a mount, a whole blob, or the beginning of an upload.
pub(crate) async fn start(call: Call, body: Body) -> Result<Response, Refusal> {
    if let Some(mount) = call.query("mount")
        && let Some(answer) = mount_from(&call, digest(&mount)?).await?
    {
        return Ok(answer);
    }
    let uploads = &call.registry.inner.clone().uploads;
    let whole = call.query("digest").map(|text| digest(&text)).transpose()?;
    let id = uploads.start(&call.repository).await?;
    let Some(expected) = whole else { return accepted(&call, id, 0) };
    let held = uploads.hold(&call.repository, id).await?;
    match uploads.append(held, None, body).await {
        Ok((held, _)) => complete(&call, held, expected).await,
        Err(refusal) => {
            uploads.cancel(uploads.hold(&call.repository, id).await?).await?;
            Err(refusal)
        }
    }
}

/// A mount needs the right to read its source. Whoever lacks it, or names no source, uploads; they learn nothing.
async fn mount_from(call: &Call, digest: Digest) -> Result<Option<Response>, Refusal> {
    let Some(from) = call.query("from").and_then(|text| RepositoryPath::new(&text).ok()) else {
        return Ok(None);
    };
    let inner = call.registry.inner.clone();
    let decision = inner.authorizer.authorize(&call.presented, Some(from.as_str()), Action::Pull).await;
    if decision != Decision::Allow {
        return Ok(None);
    }
    let _gate = inner.gate.read().await;
    let mounted = blocking({
        let (disk, repository) = (inner.disk.clone(), call.repository.clone());
        move || match disk.blob(&from, &digest)? {
            Some(_) => disk.link_blob(&repository, &digest).map(|()| true),
            None => Ok(false),
        }
    })
    .await?;
    if mounted { created(call, digest).map(Some) } else { Ok(None) }
}

/// `GET`: how far the upload is.
pub(crate) async fn state(call: Call, id: Uuid) -> Result<Response, Refusal> {
    let held = call.registry.inner.uploads.hold(&call.repository, id).await?;
    empty(StatusCode::NO_CONTENT, &progress(&call, id, held.length()))
}

/// `PATCH`: more bytes.
pub(crate) async fn append(call: Call, id: Uuid, body: Body) -> Result<Response, Refusal> {
    let uploads = &call.registry.inner.clone().uploads;
    let held = uploads.hold(&call.repository, id).await?;
    let span = content_range(&call)?;
    let (_held, length) = uploads.append(held, span, body).await?;
    accepted(&call, id, length)
}

/// `PUT`: the last bytes, if any, and the digest of the whole.
pub(crate) async fn finish(call: Call, id: Uuid, body: Body) -> Result<Response, Refusal> {
    let uploads = &call.registry.inner.clone().uploads;
    let text = call
        .query("digest")
        .ok_or_else(|| Refusal::digest_invalid("the digest of the content is missing"))?;
    let expected = digest(&text)?;
    let held = uploads.hold(&call.repository, id).await?;
    let span = content_range(&call)?;
    let (held, _) = uploads.append(held, span, body).await?;
    complete(&call, held, expected).await
}

/// `DELETE`: nobody wants it any more.
pub(crate) async fn cancel(call: Call, id: Uuid) -> Result<Response, Refusal> {
    let uploads = &call.registry.inner.uploads;
    uploads.cancel(uploads.hold(&call.repository, id).await?).await?;
    empty(StatusCode::NO_CONTENT, &[])
}

/// The content first, then the repository's word that it has it: both under the gate, so that the collector sees both or
/// neither.
async fn complete(
    call: &Call,
    held: tokio::sync::OwnedMutexGuard<super::super::upload::Session>,
    expected: Digest,
) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let _gate = inner.gate.read().await;
    inner.uploads.finish(held, inner.disk.clone(), expected).await?;
    let (disk, repository) = (inner.disk.clone(), call.repository.clone());
    blocking(move || disk.link_blob(&repository, &expected)).await?;
    created(call, expected)
}

fn content_range(call: &Call) -> Result<Option<Span>, Refusal> {
    let Some(text) = call.header(header::CONTENT_RANGE) else { return Ok(None) };
    let span = Span::parse(text);
    span.map(Some)
        .ok_or_else(|| Refusal::upload_invalid(format!("Content-Range {text:?} is no range of bytes")))
}

fn progress(call: &Call, id: Uuid, length: u64) -> [(http::HeaderName, String); 2] {
    [(header::LOCATION, call.location(&format!("blobs/uploads/{id}"))), (header::RANGE, range(length))]
}

fn accepted(call: &Call, id: Uuid, length: u64) -> Result<Response, Refusal> {
    empty(StatusCode::ACCEPTED, &progress(call, id, length))
}

fn created(call: &Call, digest: Digest) -> Result<Response, Refusal> {
    let location = call.location(&format!("blobs/{digest}"));
    empty(StatusCode::CREATED, &[(header::LOCATION, location), (CONTENT_DIGEST, digest.to_string())])
}
