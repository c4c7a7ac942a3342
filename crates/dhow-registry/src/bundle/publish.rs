//! Pushes a folder as an artifact.

use std::path::Path;

use bytes::Bytes;
use dhow_core::noun::{Digest, ImageReference, SourceLabels, Version};
use thiserror::Error;

use super::pack::{PackError, pack};
use crate::client::{BlobSource, Client, Error as ClientError};
use crate::media::{Descriptor, EMPTY, Manifest, OCI_MANIFEST, TAR_GZIP, annotations_of};

/// What a bundle says it is.
pub const ARTIFACT_TYPE: &str = "application/vnd.dhow.bundle.v1";

/// Why a folder was not published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// It could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The registry.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No tag to publish under.
    #[error("{0} names no tag; write it as REPOSITORY:TAG, without a digest")]
    Target(ImageReference),
    /// Something of ours broke.
    #[error("the bundle cannot be made: {0}")]
    Internal(String),
}

/// Packs a folder and pushes it under a tag: layer and configuration first, the manifest with its tag last. Killed
/// half-way, the tag is as it was. Publishing the same files with the same labels again gives the same digest.
///
/// # Errors
/// [`PublishError`]; nothing is visible under the tag then.
pub async fn publish(
    client: &Client,
    folder: &Path,
    target: &ImageReference,
    labels: &SourceLabels,
) -> Result<Version, PublishError> {
    let (Some(tag), None) = (&target.tag, &target.digest) else {
        return Err(PublishError::Target(target.clone()));
    };
    let path = folder.to_owned();
    let packed = tokio::task::spawn_blocking(move || pack(&path))
        .await
        .map_err(|error| PublishError::Internal(error.to_string()))??;
    let empty = Bytes::from_static(b"{}");
    let config = Descriptor::new(EMPTY, Digest::of(&empty), empty.len() as u64);
    let annotations = annotations_of(labels);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.into()),
        artifact_type: Some(ARTIFACT_TYPE.into()),
        config: Some(config.clone()),
        layers: Some(vec![Descriptor::new(TAR_GZIP, packed.digest, packed.size)]),
        manifests: None,
        subject: None,
        annotations: (!annotations.is_empty()).then_some(annotations),
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|error| PublishError::Internal(error.to_string()))?;
    let repository = &target.repository;
    client.push_blob(repository, &packed.digest, &BlobSource::File(packed.path().to_owned())).await?;
    client.push_blob(repository, &config.digest, &BlobSource::Bytes(empty)).await?;
    let digest = client.push_manifest(repository, Some(tag), OCI_MANIFEST, bytes.into()).await?;
    Ok(Version {
        repository: repository.clone(),
        digest,
        tag: Some(tag.clone()),
        also: Vec::new(),
        labels: labels.clone(),
    })
}
