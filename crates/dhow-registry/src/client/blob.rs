//! Blobs, streamed and checked.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use dhow_core::noun::{Digest, Repository};
use futures::{Stream, StreamExt as _};
use reqwest::Method;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::error::{Error, ErrorKind, chain};
use super::send::{SMALL, is_html};
use super::{Access, Client};
use crate::media::Descriptor;

/// The bytes of a blob as they come. The last item is an error where size or digest are wrong: whoever uses the bytes
/// before the end must be able to take that back.
pub struct BlobStream {
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    hasher: Sha256,
    came: u64,
    wanted: Descriptor,
    registry: String,
    asked: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("wanted", &self.wanted)
            .field("came", &self.came)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    fn error(&self, kind: ErrorKind) -> Error {
        Error { registry: self.registry.clone(), asked: self.asked.clone(), kind }
    }

    fn end(&mut self) -> Result<(), ErrorKind> {
        let came = Digest::from_bytes(self.hasher.clone().finalize().into());
        if came != self.wanted.digest {
            return Err(ErrorKind::WrongDigest { expected: self.wanted.digest, came });
        }
        if self.came != self.wanted.size {
            return Err(ErrorKind::Invalid(format!(
                "the blob has {} bytes, not {}",
                self.came, self.wanted.size
            )));
        }
        Ok(())
    }

    /// Reads the whole, checked, into memory: for what is small.
    ///
    /// # Errors
    /// `TooLarge` above `limit` bytes; `Unreachable` after two minutes; whatever the stream ends with.
    pub async fn read_all(self, limit: usize) -> Result<Bytes, Error> {
        let late = self.error(ErrorKind::Unreachable("the answer takes too long".into()));
        tokio::time::timeout(SMALL, self.read_whole(limit)).await.unwrap_or(Err(late))
    }

    async fn read_whole(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > limit {
                return Err(self.error(ErrorKind::TooLarge { limit: limit as u64 }));
            }
        }
        Ok(bytes.freeze())
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.permit.is_none() {
            return Poll::Ready(None);
        }
        let kind = match std::task::ready!(self.body.as_mut().poll_next(context)) {
            Some(Ok(chunk)) => {
                self.came += chunk.len() as u64;
                if self.came <= self.wanted.size {
                    self.hasher.update(&chunk);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                ErrorKind::TooLarge { limit: self.wanted.size }
            }
            Some(Err(error)) => ErrorKind::Unreachable(format!("cut short: {}", chain(&error.without_url()))),
            None => match self.end() {
                Ok(()) => {
                    self.permit = None;
                    return Poll::Ready(None);
                }
                Err(kind) => kind,
            },
        };
        self.permit = None;
        Poll::Ready(Some(Err(self.error(kind))))
    }
}

impl Client {
    /// The bytes of a blob. The stream holds one of the registry's calls until it ends or is dropped.
    ///
    /// # Errors
    /// `NotFound`, `NotARegistry`; any other [`ErrorKind`]. Wrong content is told by the stream.
    pub async fn blob(&self, repository: &Repository, wanted: &Descriptor) -> Result<BlobStream, Error> {
        let target =
            self.on(repository, Access::Pull, format!("blob {}@{}", repository.path(), wanted.digest))?;
        let ask = target.ask(Method::GET, &format!("blobs/{}", wanted.digest))?;
        let answer = self.send(&ask).await?;
        if is_html(&answer.response) {
            return Err(target.error(ErrorKind::NotARegistry("an HTML page".into())));
        }
        if answer.response.content_length().is_some_and(|length| length > wanted.size) {
            return Err(target.error(ErrorKind::TooLarge { limit: wanted.size }));
        }
        Ok(BlobStream {
            body: Box::pin(answer.response.bytes_stream()),
            hasher: Sha256::new(),
            came: 0,
            wanted: wanted.clone(),
            registry: target.host.name.clone(),
            asked: target.what.clone(),
            permit: Some(answer.permit),
        })
    }
}
