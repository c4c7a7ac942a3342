use serde::{Deserialize, Serialize};

use super::{Digest, ImageReference, Repository, Tag};

/// What the labels of a build say of its source (OCI image specification, "Pre-Defined Annotation Keys").
/// An artifact without labels has none of them; nothing depends on their presence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLabels {
    /// `org.opencontainers.image.source`: the source's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `org.opencontainers.image.revision`: the source commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `org.opencontainers.image.created`, as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// `org.opencontainers.image.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// One build of an artifact: repository **and** digest, with the tag it was found by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Where it lies.
    pub repository: Repository,
    /// The digest that the tag resolved to; the index's where there is one.
    pub digest: Digest,
    /// The tag it was found by, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Digests of its platform manifests and configs: an engine that reports one of these runs this version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Digest>,
    /// What its labels say.
    #[serde(default)]
    pub labels: SourceLabels,
}

impl Version {
    /// `repo:tag@digest`, the form that is written into a fleet.
    pub fn reference(&self) -> ImageReference {
        ImageReference {
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest: Some(self.digest),
        }
    }

    /// The part of it that identity and hash are made of.
    pub fn pin(&self) -> Pin {
        Pin { repository: self.repository.clone(), tag: self.tag.clone(), digest: self.digest }
    }
}

/// What a deployment runs of one artifact: a digest in a repository. The tag is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pin {
    /// Where it lies.
    pub repository: Repository,
    /// The tag it is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// What runs.
    pub digest: Digest,
}

impl Pin {
    /// `repo:tag@digest`.
    pub fn reference(&self) -> ImageReference {
        ImageReference {
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest: Some(self.digest),
        }
    }
}
