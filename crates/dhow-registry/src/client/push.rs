//! Pushes blobs: small ones at once, big ones in chunks that go on where they were cut.

use std::io::SeekFrom;
use std::path::PathBuf;

use bytes::Bytes;
use dhow_core::noun::{Digest, Repository};
use reqwest::header::{HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Url};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::error::{Error, ErrorKind};
use super::{Access, Client, Target};

/// How often a chunk is sent anew after the connection broke.
const RETRIES: usize = 3;
/// Largest chunk that a registry may demand, in bytes: it is held in memory.
const MAX_CHUNK: u64 = 512 << 20;

/// Where the bytes of a blob come from. They must not change while they are pushed.
#[derive(Debug, Clone)]
pub enum BlobSource {
    /// Memory.
    Bytes(Bytes),
    /// A file.
    File(PathBuf),
}

impl BlobSource {
    async fn size(&self) -> std::io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => Ok(tokio::fs::metadata(path).await?.len()),
        }
    }

    async fn read(&self, first: u64, length: u64) -> std::io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => {
                let (first, end) = (first as usize, (first + length) as usize);
                if end > bytes.len() {
                    Err(std::io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(bytes.slice(first..end))
                }
            }
            Self::File(path) => {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(SeekFrom::Start(first)).await?;
                let mut buffer = vec![0; length as usize];
                file.read_exact(&mut buffer).await?;
                Ok(buffer.into())
            }
        }
    }
}

/// Where an upload goes on, and the least chunk the registry takes.
struct Session {
    url: Url,
    least: u64,
}

impl Client {
    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// Any [`ErrorKind`] but `NotFound`.
    pub async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let target = self.on(repository, Access::Pull, format!("blob {}@{digest}", repository.path()))?;
        match self.send(&target.ask(Method::HEAD, &format!("blobs/{digest}"))?).await {
            Ok(_) => Ok(true),
            Err(Error { kind: ErrorKind::NotFound, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Pushes a blob, unless it is there already. Killed half-way, nothing is visible, and the next push begins anew.
    ///
    /// # Errors
    /// `Unauthorized`, `Refused` (the registry checks the digest); `Local` where the source cannot be read.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        source: &BlobSource,
    ) -> Result<(), Error> {
        let target =
            self.on(repository, Access::Push, format!("push of blob {}@{digest}", repository.path()))?;
        match self.send(&target.ask(Method::HEAD, &format!("blobs/{digest}"))?).await {
            Ok(_) => return Ok(()),
            Err(Error { kind: ErrorKind::NotFound, .. }) => {}
            Err(error) => return Err(error),
        }
        let local = |error: std::io::Error| {
            target.error(ErrorKind::Local(format!("{source:?} cannot be read: {error}")))
        };
        let size = source.size().await.map_err(local)?;
        let mut session = self.start(&target).await?;
        let chunk = self.inner.settings.chunk.max(session.least).clamp(1, MAX_CHUNK);
        let mut rest = source.read(0, size.min(chunk)).await.map_err(local)?;
        if size > chunk {
            let mut first = 0;
            while size - first > chunk {
                first = self.chunk(&target, &mut session, first, rest.clone()).await?;
                rest = source.read(first, (size - first).min(chunk)).await.map_err(local)?;
            }
            if !rest.is_empty() {
                self.chunk(&target, &mut session, first, rest).await?;
            }
            rest = Bytes::new();
        }
        session.url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut ask = target.ask_at(Method::PUT, session.url);
        ask.headers.push(("content-type", "application/octet-stream".into()));
        ask.headers.push(("content-length", rest.len().to_string()));
        ask.body = Some(rest);
        self.send(&ask).await.map(|_| ())
    }

    async fn start(&self, target: &Target<'_>) -> Result<Session, Error> {
        let mut ask = target.ask(Method::POST, "blobs/uploads/")?;
        ask.headers.push(("content-length", "0".into()));
        let answer = self.send(&ask).await?;
        let headers = answer.response.headers();
        let least = headers.get("oci-chunk-min-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let url = location(&ask.url, headers)
            .ok_or_else(|| target.error(ErrorKind::NotARegistry("a push without a Location".into())))?;
        Ok(Session { url, least: least.unwrap_or(0) })
    }

    /// Sends a chunk and answers where the next one begins. A broken connection is mended by asking how far it came.
    async fn chunk(
        &self,
        target: &Target<'_>,
        session: &mut Session,
        first: u64,
        bytes: Bytes,
    ) -> Result<u64, Error> {
        let end = first + bytes.len() as u64;
        let mut sent = 0;
        for attempt in 0.. {
            let part = bytes.slice(sent..);
            let mut ask = target.ask_at(Method::PATCH, session.url.clone());
            ask.headers.push(("content-type", "application/octet-stream".into()));
            ask.headers.push(("content-range", format!("{}-{}", first + sent as u64, end - 1)));
            ask.headers.push(("content-length", part.len().to_string()));
            ask.body = Some(part);
            let error = match self.send(&ask).await {
                Ok(answer) => {
                    session.url =
                        location(&session.url, answer.response.headers()).unwrap_or(session.url.clone());
                    return Ok(end);
                }
                Err(error) => error,
            };
            let mendable = matches!(
                error.kind,
                ErrorKind::Unreachable(_) | ErrorKind::Refused { status: 409 | 416 | 500.., .. }
            );
            if !mendable || attempt >= RETRIES {
                return Err(error);
            }
            let came = self.progress(target, session).await?;
            if came < first || came > end {
                return Err(error);
            }
            if came == end {
                return Ok(end);
            }
            sent = (came - first) as usize;
        }
        Ok(end)
    }

    /// How many bytes the registry has of an upload.
    async fn progress(&self, target: &Target<'_>, session: &mut Session) -> Result<u64, Error> {
        let answer = self.send(&target.ask_at(Method::GET, session.url.clone())).await?;
        let headers = answer.response.headers();
        let last =
            headers.get(RANGE).and_then(|value| value.to_str().ok()?.rsplit('-').next()?.parse::<u64>().ok());
        session.url = location(&session.url, headers).unwrap_or(session.url.clone());
        // `0-0` means nothing or one byte; a chunk sent from 0 again is right in the first case and refused in the other.
        Ok(last.map_or(0, |last| if last == 0 { 0 } else { last + 1 }))
    }
}

fn location(base: &Url, headers: &HeaderMap) -> Option<Url> {
    base.join(headers.get(LOCATION)?.to_str().ok()?).ok()
}
