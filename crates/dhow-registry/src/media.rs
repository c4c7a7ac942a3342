//! The documents of the OCI image specification, as far as a registry and its clients read them.

use std::collections::BTreeMap;

use dhow_core::noun::{Digest, SourceLabels};
use serde::{Deserialize, Serialize};

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The configuration of a Docker image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The configuration of an artifact that has none: the two bytes `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// A gzipped tar layer.
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A plain tar layer.
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The media types of manifests and indexes, in the order a client asks for them.
pub const MANIFEST_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

const ANNOTATION_SOURCE: &str = "org.opencontainers.image.source";
const ANNOTATION_REVISION: &str = "org.opencontainers.image.revision";
const ANNOTATION_CREATED: &str = "org.opencontainers.image.created";
const ANNOTATION_VERSION: &str = "org.opencontainers.image.version";

/// Longest label that is kept, in bytes. Longer ones are no address, commit, time or version.
const MAX_LABEL: usize = 4096;

/// Whether a media type is an index (a list of manifests).
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether a media type is a manifest or an index.
pub fn is_manifest(media_type: &str) -> bool {
    MANIFEST_TYPES.contains(&media_type)
}

/// Names content: its type, digest and size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest; only sha256 is taken.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What the artifact is, where the descriptor names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Where it runs, for manifests within an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations of the descriptor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// A descriptor with nothing but type, digest and size.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: None,
        }
    }

    /// Whether the content may lie elsewhere, so that a registry need not hold it.
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.")
    }
}

/// The platform of a manifest within an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor: `amd64`, `arm64`, ...
    #[serde(default)]
    pub architecture: String,
    /// The operating system; `unknown` for attestations.
    #[serde(default)]
    pub os: String,
}

/// An image manifest or an index; which of both is told by [`Manifest::is_index`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own type; may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration; absent in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    /// The layers; absent in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Descriptor>>,
    /// The manifests of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<Descriptor>>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations of the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Whether it lists other manifests.
    pub fn is_index(&self) -> bool {
        match &self.media_type {
            Some(media_type) => is_index(media_type),
            None => self.manifests.is_some() && self.config.is_none(),
        }
    }

    /// Config and layers: the blobs it is made of.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(self.layers.iter().flatten())
    }

    /// The manifests it lists; none where it is no index.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().flatten()
    }

    /// What the artifact is: its own word, else its configuration's type (distribution specification, "Listing Referrers").
    pub fn kind(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .filter(|text| !text.is_empty())
            .or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
    }
}

/// Reads the four labels out of a map of labels or annotations. Empty and oversized values count as absent.
pub fn labels_of(map: &BTreeMap<String, String>) -> SourceLabels {
    let get = |key: &str| map.get(key).filter(|v| !v.is_empty() && v.len() <= MAX_LABEL).cloned();
    SourceLabels {
        source: get(ANNOTATION_SOURCE),
        revision: get(ANNOTATION_REVISION),
        created: get(ANNOTATION_CREATED),
        version: get(ANNOTATION_VERSION),
    }
}

/// The inverse of [`labels_of`]: only what is set becomes an annotation.
pub fn annotations_of(labels: &SourceLabels) -> BTreeMap<String, String> {
    [
        (ANNOTATION_SOURCE, &labels.source),
        (ANNOTATION_REVISION, &labels.revision),
        (ANNOTATION_CREATED, &labels.created),
        (ANNOTATION_VERSION, &labels.version),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.clone().map(|value| (key.to_owned(), value)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_their_annotations_and_absent_ones_stay_absent() {
        let labels = SourceLabels {
            source: Some("https://x".into()),
            revision: Some("abc".into()),
            ..Default::default()
        };
        let annotations = annotations_of(&labels);
        assert_eq!(annotations.len(), 2);
        assert_eq!(labels_of(&annotations), labels);
        assert_eq!(labels_of(&BTreeMap::new()), SourceLabels::default());
    }

    #[test]
    fn lists_that_are_null_count_as_empty() {
        let manifest: Manifest = serde_json::from_str(&format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":null}}"#
        ))
        .unwrap();
        assert!(manifest.is_index());
        assert_eq!(manifest.children().count(), 0);
    }
}
