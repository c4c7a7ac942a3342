//! The port [`VersionSource`] over the client.

use async_trait::async_trait;
use dhow_core::noun::{Digest, ImageReference, Pin, Repository, Tag, Version};
use dhow_core::port::{ByteStream, SourceError, VersionSource};
use futures::StreamExt as _;

use crate::client::{Client, Error, ErrorKind};

fn source_error(error: Error) -> SourceError {
    let message = error.to_string();
    match error.kind {
        ErrorKind::NotFound => SourceError::NotFound(message),
        ErrorKind::Unauthorized(_) | ErrorKind::Forbidden(_) | ErrorKind::Local(_) => {
            SourceError::Denied(message)
        }
        ErrorKind::RateLimited { retry_after } => {
            SourceError::Unavailable { message, retry_after: Some(retry_after) }
        }
        ErrorKind::Unreachable(_) => SourceError::Unavailable { message, retry_after: None },
        ErrorKind::Refused { status, .. } if status >= 500 => {
            SourceError::Unavailable { message, retry_after: None }
        }
        // A login page, or content that is not what its digest says, is no word about the version.
        ErrorKind::NotARegistry(_) | ErrorKind::WrongDigest { .. } => {
            SourceError::Unavailable { message, retry_after: None }
        }
        ErrorKind::TooLarge { .. } | ErrorKind::Refused { .. } | ErrorKind::Invalid(_) => {
            SourceError::Invalid(message)
        }
    }
}

#[async_trait]
impl VersionSource for Client {
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, SourceError> {
        match Self::tags(self, repository).await {
            Err(Error { kind: ErrorKind::NotFound, .. }) => Ok(Vec::new()),
            other => other.map_err(source_error),
        }
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, SourceError> {
        match self.digest_of(repository, tag).await {
            Ok(digest) => Ok(Some(digest)),
            Err(Error { kind: ErrorKind::NotFound, .. }) => Ok(None),
            Err(error) => Err(source_error(error)),
        }
    }

    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<Version, SourceError> {
        let reference = ImageReference { repository: repository.clone(), tag: None, digest: Some(*digest) };
        let version = Self::resolve(self, &reference).await.map_err(source_error)?;
        Ok(Version { tag: tag.cloned(), ..version })
    }

    async fn bundle(&self, pin: &Pin) -> Result<ByteStream, SourceError> {
        let (_, stream) = self.fetch_bundle(pin).await.map_err(source_error)?;
        let stream: ByteStream = Box::pin(Box::new(stream.map(|chunk| chunk.map_err(source_error))));
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_registry_says_nothing_of_a_version() {
        let of = |kind| source_error(Error { registry: "a.dev".into(), asked: "blob".into(), kind });
        let digest = Digest::of(b"");
        for kind in [
            ErrorKind::NotARegistry("an HTML page".into()),
            ErrorKind::WrongDigest { expected: digest, came: digest },
            ErrorKind::Refused { status: 502, code: String::new(), message: String::new() },
        ] {
            assert!(matches!(of(kind), SourceError::Unavailable { .. }));
        }
        assert!(matches!(of(ErrorKind::Invalid("two layers".into())), SourceError::Invalid(_)));
    }
}
