//! Manifests and tags: read, written, deleted.

use std::io;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::Response;
use dhow_core::noun::{Digest, Tag};
use http::{HeaderName, Method, StatusCode, header};

use super::super::blocking;
use super::super::collect::{unlink_manifest, why_kept};
use super::super::disk::{BLOBS, Disk, MANIFESTS, Stored, TAGS};
use super::super::event::TagWritten;
use super::super::path::{Reference, RepositoryPath};
use super::super::reach::{Referrers, reach};
use super::super::refusal::Refusal;
use super::{CONTENT_DIGEST, Call, empty, with_body};
use crate::media::{Manifest, is_index, is_manifest};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

fn resolve(disk: &Disk, repository: &RepositoryPath, reference: &Reference) -> io::Result<Option<Digest>> {
    match reference {
        Reference::Digest(digest) => Ok(Some(*digest)),
        Reference::Tag(tag) => disk.tag(repository, tag),
    }
}

pub(crate) async fn get(call: Call, reference: Reference) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let _gate = inner.gate.read().await;
    let found = blocking({
        let (disk, repository, reference) = (inner.disk.clone(), call.repository.clone(), reference.clone());
        move || {
            let Some(digest) = resolve(&disk, &repository, &reference)? else { return Ok(None) };
            let stored = disk.manifest(&repository, &digest)?;
            if stored.is_some() {
                disk.touch(&disk.link(&repository, MANIFESTS, &digest))?;
            }
            Ok(stored.map(|stored| (digest, stored)))
        }
    })
    .await?;
    let (digest, stored) = found.ok_or_else(|| Refusal::manifest_unknown(&reference.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, stored.media_type),
        (header::CONTENT_LENGTH, stored.bytes.len().to_string()),
        (CONTENT_DIGEST, digest.to_string()),
        (header::ETAG, format!("\"{digest}\"")),
    ];
    let body = if call.parts.method == Method::HEAD { Body::empty() } else { Body::from(stored.bytes) };
    with_body(StatusCode::OK, &headers, body)
}

pub(crate) async fn put(call: Call, reference: Reference, body: Body) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let limit = inner.settings.max_manifest;
    let reading = tokio::time::timeout(inner.settings.idle, to_bytes(body, limit));
    let bytes = reading
        .await
        .map_err(|_| {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "MANIFEST_INVALID", "the manifest did not come in time")
        })?
        .map_err(|_| Refusal::too_large("MANIFEST_INVALID", limit as u64))?;
    let digest = Digest::of(&bytes);
    if let Reference::Digest(expected) = &reference
        && *expected != digest
    {
        return Err(Refusal::digest_invalid(format!("the manifest has the digest {digest}, not {expected}")));
    }
    let content_type = call.header(header::CONTENT_TYPE).unwrap_or_default();
    let (media_type, manifest) = check(&bytes, content_type)?;
    let subject = manifest.subject.as_ref().map(|subject| subject.digest);
    let tag = match reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    };
    let write = Write {
        disk: inner.disk.clone(),
        repository: call.repository.clone(),
        digest,
        stored: Stored { media_type, bytes: bytes.to_vec() },
        manifest,
        tag: tag.clone(),
    };
    // The write ends even where the caller hangs up: then the event must come too.
    let task = tokio::spawn({
        let (inner, repository) = (inner.clone(), call.repository.clone());
        async move {
            let _gate = inner.gate.read().await;
            let missing = blocking(move || write.run()).await?;
            if missing.is_none()
                && let Some(tag) = tag
            {
                inner.listener.tag_written(TagWritten {
                    repository: repository.as_str().to_owned(),
                    tag,
                    digest,
                });
            }
            io::Result::Ok(missing)
        }
    });
    if let Some(missing) = task.await.map_err(io::Error::other)?? {
        return Err(Refusal::manifest_blob_unknown(&missing.to_string()));
    }
    let mut headers = vec![
        (header::LOCATION, call.location(&format!("manifests/{digest}"))),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    headers.extend(subject.map(|subject| (OCI_SUBJECT, subject.to_string())));
    empty(StatusCode::CREATED, &headers)
}

/// Reads a manifest and settles its media type: what the header says, which must be what the document says.
fn check(bytes: &[u8], content_type: &str) -> Result<(String, Manifest), Refusal> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| {
        Refusal::manifest_invalid(format!("this is no manifest with sha256 digests: {error}"))
    })?;
    let header = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = match (header, manifest.media_type.as_deref()) {
        ("", Some(own)) => own,
        ("", None) => {
            return Err(Refusal::manifest_invalid("the manifest's media type is missing: Content-Type"));
        }
        (header, Some(own)) if header != own => {
            return Err(Refusal::manifest_invalid(format!(
                "Content-Type is {header}, the manifest says {own}"
            )));
        }
        (header, _) => header,
    };
    if !is_manifest(media_type) {
        return Err(Refusal::manifest_invalid(format!(
            "{media_type} is no manifest that this registry knows"
        )));
    }
    if manifest.schema_version != 2 {
        return Err(Refusal::manifest_invalid("only schemaVersion 2 is taken"));
    }
    let has_parts = if is_index(media_type) { manifest.config.is_none() } else { manifest.config.is_some() };
    if !has_parts || (!is_index(media_type) && manifest.manifests.is_some()) {
        return Err(Refusal::manifest_invalid(
            "a manifest has a config and layers, an index has manifests; this mixes them",
        ));
    }
    let media_type = media_type.to_owned();
    Ok((media_type, manifest))
}

struct Write {
    disk: Arc<Disk>,
    repository: RepositoryPath,
    digest: Digest,
    stored: Stored,
    manifest: Manifest,
    tag: Option<Tag>,
}

impl Write {
    /// Writes manifest and tag. Where something it names is missing, nothing is written and that is answered.
    fn run(self) -> io::Result<Option<Digest>> {
        if let Some(missing) = self.missing()? {
            return Ok(Some(missing));
        }
        let subject = self.manifest.subject.as_ref().map(|subject| subject.digest);
        self.disk.put_manifest(&self.repository, &self.digest, &self.stored, subject.as_ref())?;
        self.refresh()?;
        if let Some(tag) = &self.tag {
            self.disk.put_tag(&self.repository, tag, &self.digest)?;
        }
        Ok(None)
    }

    fn missing(&self) -> io::Result<Option<Digest>> {
        for blob in self.manifest.blobs().filter(|blob| !blob.is_foreign()) {
            if self.disk.blob(&self.repository, &blob.digest)?.is_none() {
                return Ok(Some(blob.digest));
            }
        }
        for child in self.manifest.children() {
            let known = self.disk.manifest(&self.repository, &child.digest)?.is_some()
                || (!is_manifest(&child.media_type)
                    && self.disk.blob(&self.repository, &child.digest)?.is_some());
            if !known {
                return Ok(Some(child.digest));
            }
        }
        Ok(None)
    }

    /// Makes young all that hangs on the manifest, so that a tag set on old content saves it.
    fn refresh(&self) -> io::Result<()> {
        let reached = reach(&self.disk, &self.repository, [self.digest], Referrers::Ignore)?;
        for digest in &reached.manifests {
            self.disk.touch(&self.disk.link(&self.repository, MANIFESTS, digest))?;
        }
        for digest in &reached.blobs {
            self.disk.touch(&self.disk.link(&self.repository, BLOBS, digest))?;
        }
        Ok(())
    }
}

/// Deletes a tag, or a manifest with all tags that name it.
pub(crate) async fn delete(call: Call, reference: Reference) -> Result<Response, Refusal> {
    let inner = call.registry.inner.clone();
    let _gate = inner.gate.read().await;
    let unknown = || Refusal::manifest_unknown(&reference.to_string());
    let digest = blocking({
        let (disk, repository, reference) = (inner.disk.clone(), call.repository.clone(), reference.clone());
        move || resolve(&disk, &repository, &reference)
    })
    .await?
    .ok_or_else(unknown)?;
    if let Some(reason) = why_kept(&call.registry, &call.repository, digest).await? {
        return Err(Refusal::in_use(&reference.to_string(), &reason));
    }
    let removed = blocking({
        let (disk, repository, reference) = (inner.disk.clone(), call.repository.clone(), reference.clone());
        move || match reference {
            Reference::Tag(tag) => disk.remove(&disk.folder(&repository, TAGS).join(tag.as_str())),
            Reference::Digest(digest) => remove_manifest(&disk, &repository, &digest),
        }
    })
    .await?;
    if removed { empty(StatusCode::ACCEPTED, &[]) } else { Err(unknown()) }
}

fn remove_manifest(disk: &Disk, repository: &RepositoryPath, digest: &Digest) -> io::Result<bool> {
    for tag in disk.tags(repository)? {
        if disk.tag(repository, &tag)? == Some(*digest) {
            disk.remove(&disk.folder(repository, TAGS).join(tag.as_str()))?;
        }
    }
    unlink_manifest(disk, repository, digest)
}
