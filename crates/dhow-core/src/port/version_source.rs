use std::pin::Pin as BoxPin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use thiserror::Error;

use crate::noun::{Digest, Pin, Repository, Tag, Version};

/// What goes wrong with a source of versions. Cloneable, because one answer may serve several askers.
#[derive(Debug, Clone, Error)]
pub enum SourceError {
    /// There is no such repository, tag or digest.
    #[error("{0} is not there")]
    NotFound(String),
    /// The source does not let us in; a person must act.
    #[error("{0}")]
    Denied(String),
    /// The source cannot be reached, answers with an error of its own or with what no registry answers, hands out content
    /// that is not what its digest says, or asks to be left alone for a while. It says nothing of the version.
    #[error("{message}")]
    Unavailable {
        /// What was asked, what came, what to do.
        message: String,
        /// When the source wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// What was published is not what it should be: no manifest, no bundle, larger than is taken.
    #[error("{0}")]
    Invalid(String),
}

/// Content as it arrives.
pub type ByteStream = BoxPin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>;

/// Where versions come from: an OCI registry; an S3 prefix fits too (a key is a tag, its checksum a digest).
///
/// Reads only: a crash in any of them changes nothing.
#[async_trait]
pub trait VersionSource: Send + Sync {
    /// All tags of a repository, in no particular order. A repository that does not exist yet has none.
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, SourceError>;

    /// What a tag points at now; `None` where there is no such tag. Cheap: no content is moved.
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, SourceError>;

    /// The whole version behind a digest: labels and platform digests. `tag` is what it was found by.
    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<Version, SourceError>;

    /// The content of a bundle, a gzipped tar archive. The stream fails if the content is not what the digest says.
    async fn bundle(&self, pin: &Pin) -> Result<ByteStream, SourceError>;
}
