//! Uploads under way.
//!
//! The bytes lie in `uploads/<id>.<repository>`; a session in memory knows how many of them were hashed, and so need not
//! be read again. After a restart the session is made anew from the file. Writing goes on in a task of its own: a caller
//! that hangs up cannot leave a write behind that lands after the next one.

use std::collections::HashMap;
use std::io::{self, Read as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use dhow_core::noun::Digest;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::disk::{Disk, at, names_in, present};
use super::path::RepositoryPath;
use super::refusal::Refusal;

/// Idle uploads are removed after this time.
pub(crate) const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// An upload: where its bytes lie and what is known of them.
#[derive(Debug)]
pub(crate) struct Session {
    path: PathBuf,
    hasher: Sha256,
    length: u64,
}

type Held = OwnedMutexGuard<Session>;

/// All uploads under way.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    open: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<Session>>>>,
    limits: Limits,
}

/// What one upload may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub bytes: u64,
    pub uploads: usize,
    pub idle: Duration,
}

impl Uploads {
    pub fn new(disk: &Disk, limits: Limits) -> Self {
        Self { folder: disk.uploads(), open: Mutex::default(), limits }
    }

    /// The name binds the upload to its repository: whoever may push to another one cannot touch it.
    fn path(&self, repository: &RepositoryPath, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.{}", &Digest::of(repository.as_str().as_bytes()).hex()[..32]))
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<tokio::sync::Mutex<Session>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an upload.
    pub async fn start(&self, repository: &RepositoryPath) -> Result<Uuid, Refusal> {
        let full = {
            let mut open = self.sessions();
            if open.len() >= self.limits.uploads {
                open.retain(|path, _| path.is_file());
            }
            open.len() >= self.limits.uploads
        };
        if full {
            return Err(Refusal::new(
                http::StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "too many uploads are open; finish or cancel some",
            )
            .with(http::header::RETRY_AFTER, "60"));
        }
        let id = Uuid::now_v7();
        let path = self.path(repository, id);
        tokio::fs::File::create_new(&path).await.map_err(at(&path))?;
        let session = Session { path: path.clone(), hasher: Sha256::new(), length: 0 };
        self.sessions().insert(path, Arc::new(tokio::sync::Mutex::new(session)));
        Ok(id)
    }

    /// Takes hold of an upload. Refused while another request writes to it.
    pub async fn hold(&self, repository: &RepositoryPath, id: Uuid) -> Result<Held, Refusal> {
        let path = self.path(repository, id);
        let known = self.sessions().get(&path).cloned();
        let session = match known {
            Some(session) => session,
            None => {
                let restored = restore(path.clone()).await?.ok_or_else(Refusal::upload_unknown)?;
                let mut open = self.sessions();
                open.entry(path).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(restored))).clone()
            }
        };
        let held = session.try_lock_owned().map_err(|_| {
            Refusal::new(
                http::StatusCode::CONFLICT,
                "BLOB_UPLOAD_INVALID",
                "another request is writing to this upload; ask for its state and go on from there",
            )
        })?;
        if !held.path.is_file() {
            return Err(Refusal::upload_unknown());
        }
        Ok(held)
    }

    /// Appends a body; `at` is where the caller believes to be. Answers the new length.
    /// Cut short, what came is kept, and counted.
    pub async fn append(&self, held: Held, at: Option<Span>, body: Body) -> Result<(Held, u64), Refusal> {
        let length = held.length;
        if at.is_some_and(|span| span.first != length) {
            return Err(out_of_order(length));
        }
        let limits = self.limits;
        let written = tokio::spawn(write(held, body, limits)).await.map_err(io::Error::other)?;
        let (held, outcome) = written;
        if let Err(refusal) = outcome {
            if refusal.is_full() {
                // Half of what did not fit would keep the disk full, for everybody, until it is found idle.
                self.cancel(held).await?;
            }
            return Err(refusal);
        }
        let length = held.length;
        if at.is_some_and(|span| span.end != length) {
            return Err(Refusal::upload_invalid("the body is not as long as its Content-Range says"));
        }
        Ok((held, length))
    }

    /// Ends an upload well: the bytes become content, if they are what they should be.
    ///
    /// The upload is held until its file has its new name, even where the caller hangs up: nobody may write to what is
    /// content already.
    pub async fn finish(&self, held: Held, disk: Arc<Disk>, expected: Digest) -> Result<(), Refusal> {
        let actual = Digest::from_bytes(held.hasher.clone().finalize().into());
        if actual != expected {
            self.cancel(held).await?;
            return Err(Refusal::digest_invalid(format!(
                "the content has the digest {actual}, not {expected}; it was thrown away, push it again"
            )));
        }
        let path = held.path.clone();
        super::blocking(move || {
            let file = std::fs::File::options().write(true).open(&held.path).map_err(at(&held.path))?;
            file.set_len(held.length).and_then(|()| file.sync_all()).map_err(at(&held.path))?;
            disk.place(&held.path, &disk.content(&expected))
        })
        .await?;
        self.sessions().remove(&path);
        Ok(())
    }

    /// Ends an upload that nobody wants.
    pub async fn cancel(&self, held: Held) -> Result<(), Refusal> {
        tokio::fs::remove_file(&held.path).await?;
        self.sessions().remove(&held.path);
        Ok(())
    }

    /// Removes what was idle for a day: uploads, and small files that a crash left. Answers how many.
    pub fn remove_stale(&self, disk: &Disk, now: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        for name in names_in(&self.folder)? {
            let path = self.folder.join(name);
            let Some(modified) = disk.modified(&path)? else { continue };
            let held = self.sessions().get(&path).is_some_and(|session| session.try_lock().is_err());
            if !held && now.duration_since(modified).is_ok_and(|age| age >= STALE) {
                self.sessions().remove(&path);
                removed += u64::from(disk.remove(&path)?);
            }
        }
        Ok(removed)
    }
}

/// The bytes that a request brings: the first, and one behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub first: u64,
    pub end: u64,
}

impl Span {
    /// `<first>-<last>`, with or without `bytes`, as clients write it in `Content-Range`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
        let (first, last) = text.split('/').next()?.split_once('-')?;
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        let end = last.checked_add(1)?;
        (end > first).then_some(Self { first, end })
    }
}

impl Session {
    pub fn length(&self) -> u64 {
        self.length
    }
}

fn out_of_order(length: u64) -> Refusal {
    Refusal::new(
        http::StatusCode::RANGE_NOT_SATISFIABLE,
        "BLOB_UPLOAD_INVALID",
        format!("the upload has {length} bytes; go on from there"),
    )
    .with(http::header::RANGE, range(length))
}

/// `Range` of an upload of this length. The specification has no word for zero bytes; this is the customary one.
pub(crate) fn range(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

async fn write(mut held: Held, body: Body, limits: Limits) -> (Held, Result<(), Refusal>) {
    let outcome = write_body(&mut held, body, limits).await;
    (held, outcome)
}

async fn write_body(session: &mut Session, body: Body, limits: Limits) -> Result<(), Refusal> {
    let path = session.path.clone();
    let at = || at(&path);
    let mut file = tokio::fs::File::options().write(true).open(&path).await.map_err(at())?;
    file.set_len(session.length).await.map_err(at())?;
    file.seek(SeekFrom::Start(session.length)).await.map_err(at())?;
    let mut body = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(limits.idle, body.next());
        let chunk = match next.await {
            Ok(None) => break,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                file.flush().await.map_err(at())?;
                return Err(Refusal::upload_invalid(format!("the body ended early: {error}")));
            }
            Err(_) => {
                file.flush().await.map_err(at())?;
                return Err(Refusal::new(
                    http::StatusCode::REQUEST_TIMEOUT,
                    "BLOB_UPLOAD_INVALID",
                    "nothing came for too long",
                ));
            }
        };
        if session.length + chunk.len() as u64 > limits.bytes {
            return Err(Refusal::too_large("SIZE_INVALID", limits.bytes));
        }
        file.write_all(&chunk).await.map_err(at())?;
        session.hasher.update(&chunk);
        session.length += chunk.len() as u64;
    }
    file.flush().await.map_err(at())?;
    Ok(())
}

/// Makes a session from a file that an earlier process left.
async fn restore(path: PathBuf) -> Result<Option<Session>, Refusal> {
    let hashed = super::blocking({
        let path = path.clone();
        move || present(hash(&path))
    })
    .await?;
    Ok(hashed.map(|(hasher, length)| Session { path, hasher, length }))
}

fn hash(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hasher, length));
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_in_the_forms_that_clients_send() {
        let span = Some(Span { first: 5, end: 10 });
        assert_eq!(Span::parse("5-9"), span);
        assert_eq!(Span::parse("bytes 5-9/20"), span);
        assert_eq!(Span::parse("bytes=5-9"), span);
        for bad in ["", "5", "9-5", "a-b", "-5", "0-18446744073709551615"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
