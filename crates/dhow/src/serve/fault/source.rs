//! The source of versions in the midst of whose content a process ends.

use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::noun::{Digest, Pin, Repository, Tag, Version};
use dhow_core::port::{ByteStream, SourceError, VersionSource};
use futures::StreamExt as _;

use super::Faults;
use super::at::{Class, Side};

/// Bytes that are handed on at once: content comes in many pieces, however small it is.
const PIECE: usize = 256;

/// A source that is disturbed.
pub struct Disturbed {
    source: Arc<dyn VersionSource>,
    faults: Faults,
}

impl Disturbed {
    /// Over this source.
    pub fn new(source: Arc<dyn VersionSource>, faults: Faults) -> Self {
        Self { source, faults }
    }
}

#[async_trait]
impl VersionSource for Disturbed {
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, SourceError> {
        self.source.tags(repository).await
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, SourceError> {
        self.source.resolve(repository, tag).await
    }

    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<Version, SourceError> {
        self.source.describe(repository, digest, tag).await
    }

    async fn bundle(&self, pin: &Pin) -> Result<ByteStream, SourceError> {
        let side = self.faults.arrive(Class::Bundle, &pin.reference().to_string());
        let content = self.source.bundle(pin).await?;
        let limit = match side {
            Some(Side::Before) => self.faults.die(),
            Some(Side::Within(bytes)) => bytes,
            Some(Side::After) => u64::MAX,
            None => return Ok(content),
        };
        let pieces = content.flat_map(|chunk| {
            let pieces: Vec<_> = match chunk {
                Ok(bytes) => {
                    let at = (0..bytes.len()).step_by(PIECE);
                    at.map(|at| Ok(bytes.slice(at..bytes.len().min(at + PIECE)))).collect()
                }
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(pieces)
        });
        let faults = self.faults.clone();
        let end = (limit == u64::MAX).then(|| faults.clone());
        let mut given = 0;
        let counted = pieces.inspect(move |piece| {
            given += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            if given > limit {
                faults.die();
            }
        });
        let last = futures::stream::poll_fn(move |_| {
            if let Some(faults) = &end {
                faults.die();
            }
            std::task::Poll::Ready(None)
        });
        Ok(Box::pin(counted.chain(last)))
    }
}
