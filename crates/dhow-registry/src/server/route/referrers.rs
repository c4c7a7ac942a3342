//! The manifests that refer to another one.

use std::io;

use axum::body::Body;
use axum::response::Response;
use dhow_core::noun::Digest;
use http::{HeaderName, StatusCode, header};

use super::super::blocking;
use super::super::disk::Disk;
use super::super::path::RepositoryPath;
use super::super::refusal::Refusal;
use super::{Call, with_body};
use crate::media::{Descriptor, Manifest, OCI_INDEX};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Most referrers on a page.
const PAGE: usize = 500;

/// `GET referrers/<digest>?artifactType=`: an index, empty where nothing refers to it or it does not exist.
pub(crate) async fn list(call: Call, subject: Digest) -> Result<Response, Refusal> {
    let filter = call.query("artifactType");
    let last: Option<Digest> = call.query("last").and_then(|text| text.parse().ok());
    let inner = call.registry.inner.clone();
    let (mut manifests, more) = blocking({
        let repository = call.repository.clone();
        move || page(&inner.disk, &repository, &subject, last)
    })
    .await?;
    let mut headers = vec![(header::CONTENT_TYPE, OCI_INDEX.to_owned())];
    if more && let Some(last) = manifests.last() {
        let kind = filter.as_deref().map(|kind| {
            format!(
                "&artifactType={}",
                url::form_urlencoded::byte_serialize(kind.as_bytes()).collect::<String>()
            )
        });
        let path = call.location(&format!("referrers/{subject}"));
        let link = format!("<{path}?last={}{}>; rel=\"next\"", last.digest, kind.unwrap_or_default());
        headers.push((header::LINK, link));
    }
    if let Some(kind) = &filter {
        manifests.retain(|manifest| manifest.artifact_type.as_ref() == Some(kind));
        headers.push((FILTERS_APPLIED, "artifactType".into()));
    }
    let index = Manifest {
        schema_version: 2,
        media_type: Some(OCI_INDEX.into()),
        artifact_type: None,
        config: None,
        layers: None,
        manifests: Some(manifests),
        subject: None,
        annotations: None,
    };
    let body = serde_json::to_vec(&index).map_err(io::Error::other)?;
    with_body(StatusCode::OK, &headers, Body::from(body))
}

fn page(
    disk: &Disk,
    repository: &RepositoryPath,
    subject: &Digest,
    last: Option<Digest>,
) -> io::Result<(Vec<Descriptor>, bool)> {
    let all = disk.referrers(repository, subject)?;
    let mut found = Vec::new();
    for digest in all.into_iter().filter(|digest| last.is_none_or(|last| *digest > last)) {
        if found.len() == PAGE {
            return Ok((found, true));
        }
        let Some(stored) = disk.manifest(repository, &digest)? else { continue };
        let manifest = stored.parse()?;
        let mut descriptor = Descriptor::new(&stored.media_type, digest, stored.bytes.len() as u64);
        descriptor.artifact_type = manifest.kind().map(str::to_owned);
        descriptor.annotations = manifest.annotations;
        found.push(descriptor);
    }
    Ok((found, false))
}
