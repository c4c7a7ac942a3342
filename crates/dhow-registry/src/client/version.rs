//! From a tag to a version: digest, platform digests, labels.

use std::collections::BTreeMap;

use dhow_core::noun::{Digest, ImageReference, Repository, SourceLabels, Tag, Version};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::error::Error;
use super::{Client, Fetched};
use crate::media::{DOCKER_CONFIG, Descriptor, Manifest, OCI_CONFIG, is_manifest, labels_of};

/// Largest configuration of an image that is read, in bytes.
const MAX_CONFIG: usize = 4 << 20;
/// Most platforms of an index that are looked at.
const MAX_PLATFORMS: usize = 64;
/// Manifests of an index that are fetched at once.
const AT_ONCE: usize = 4;

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    config: Option<Inner>,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Client {
    /// The version that a tag names now.
    ///
    /// # Errors
    /// `NotFound`, `WrongDigest`, `NotARegistry`; any other [`super::ErrorKind`].
    pub async fn version(&self, repository: &Repository, tag: &Tag) -> Result<Version, Error> {
        let reference =
            ImageReference { repository: repository.clone(), tag: Some(tag.clone()), digest: None };
        self.resolve(&reference).await
    }

    /// The version that a reference names: its digest where it has one, else its tag. An artifact without labels gives
    /// empty ones. Labels are those of the image's configuration, then the annotations of its manifest, then of the index.
    ///
    /// # Errors
    /// As [`Client::version`].
    pub async fn resolve(&self, reference: &ImageReference) -> Result<Version, Error> {
        let repository = &reference.repository;
        let fetched = self.manifest(reference).await?;
        let mut also = Vec::new();
        let labels = if fetched.manifest.is_index() {
            let children = self.platforms(repository, &fetched.manifest).await?;
            for (descriptor, child) in &children {
                also.push(child.digest);
                also.extend(image_config(&child.manifest).map(|config| config.digest));
                debug_assert_eq!(descriptor.digest, child.digest);
            }
            let own = labels_in(&fetched.manifest);
            match preferred(&children) {
                Some(child) => or(self.labels(repository, &child.manifest).await?, own),
                None => own,
            }
        } else {
            also.extend(image_config(&fetched.manifest).map(|config| config.digest));
            self.labels(repository, &fetched.manifest).await?
        };
        let mut seen = std::collections::BTreeSet::from([fetched.digest]);
        also.retain(|digest: &Digest| seen.insert(*digest));
        Ok(Version {
            repository: repository.clone(),
            digest: fetched.digest,
            tag: reference.tag.clone(),
            also,
            labels,
        })
    }

    /// The images of an index; attestations, whose platform is unknown, are none.
    async fn platforms(
        &self,
        repository: &Repository,
        index: &Manifest,
    ) -> Result<Vec<(Descriptor, Fetched)>, Error> {
        let images: Vec<Descriptor> = index
            .children()
            .filter(|child| is_manifest(&child.media_type))
            .filter(|child| child.platform.as_ref().is_none_or(|platform| platform.os != "unknown"))
            .take(MAX_PLATFORMS)
            .cloned()
            .collect();
        let fetches = images.into_iter().map(|child| async move {
            let reference =
                ImageReference { repository: repository.clone(), tag: None, digest: Some(child.digest) };
            self.manifest(&reference).await.map(|fetched| (child, fetched))
        });
        futures::stream::iter(fetches).buffered(AT_ONCE).try_collect().await
    }

    async fn labels(&self, repository: &Repository, manifest: &Manifest) -> Result<SourceLabels, Error> {
        let own = labels_in(manifest);
        let Some(config) = image_config(manifest) else { return Ok(own) };
        let bytes = self.blob(repository, config).await?.read_all(MAX_CONFIG).await?;
        let config: Config = serde_json::from_slice(&bytes).unwrap_or_default();
        let labels = config.config.and_then(|inner| inner.labels).unwrap_or_default();
        Ok(or(labels_of(&labels), own))
    }
}

/// The configuration, where the manifest is an image's. That of an artifact is often `{}`, whose digest all artifacts
/// share: it identifies nothing.
fn image_config(manifest: &Manifest) -> Option<&Descriptor> {
    let config = manifest.config.as_ref()?;
    matches!(config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG).then_some(config)
}

fn labels_in(manifest: &Manifest) -> SourceLabels {
    manifest.annotations.as_ref().map(labels_of).unwrap_or_default()
}

/// The image whose labels speak for the index: linux/amd64, else any linux, else the first.
fn preferred(children: &[(Descriptor, Fetched)]) -> Option<&Fetched> {
    let rank = |descriptor: &Descriptor| match &descriptor.platform {
        Some(platform) if platform.os == "linux" && platform.architecture == "amd64" => 0,
        Some(platform) if platform.os == "linux" => 1,
        _ => 2,
    };
    children.iter().min_by_key(|(descriptor, _)| rank(descriptor)).map(|(_, fetched)| fetched)
}

fn or(first: SourceLabels, second: SourceLabels) -> SourceLabels {
    SourceLabels {
        source: first.source.or(second.source),
        revision: first.revision.or(second.revision),
        created: first.created.or(second.created),
        version: first.version.or(second.version),
    }
}
