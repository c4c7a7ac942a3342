use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dhow_core::noun::Digest;
use rustix::fs::OFlags;

use super::file::File;
use super::live::LiveRelease;
use super::resources::SMALL;
use crate::manifest::FileEntry;

/// A file's content.
pub(super) enum Content {
    Bytes(Bytes),
    Open(Arc<std::fs::File>),
}

/// Gives a small file's bytes, from memory where they are there, or a big file opened.
///
/// # Errors
/// The file cannot be read, or is not what the manifest says.
pub(super) async fn load(live: &LiveRelease, file: &File) -> io::Result<Content> {
    if let Some(bytes) = file.bytes.get() {
        return Ok(Content::Bytes(bytes.clone()));
    }
    // Where it is not what was delivered any more, somebody may have put that in its place.
    if let Some(opened) = file.opened.get().filter(|opened| check_size(opened, &file.entry).is_ok()) {
        return Ok(Content::Open(opened.clone()));
    }
    let (path, entry) = (live.dir.join(&*file.path), file.entry);
    let content = on_a_thread(move || {
        let opened = open(&path, &entry)?;
        if entry.size > SMALL {
            return Ok(Content::Open(Arc::new(opened)));
        }
        read_checked(opened, &entry).map(Content::Bytes)
    })
    .await?;
    // What cannot be kept, another request kept first.
    match &content {
        Content::Bytes(bytes) => {
            if live.share.reserve(bytes.len()) && file.bytes.set(bytes.clone()).is_err() {
                live.share.release(bytes.len());
            }
        }
        Content::Open(opened) => {
            let is_new = file.opened.get().is_none();
            if is_new && live.share.reserve_file() && file.opened.set(opened.clone()).is_err() {
                live.share.release_file();
            }
        }
    }
    Ok(content)
}

/// Follows no link at the path's end, and waits for no pipe.
pub(super) fn open(path: &Path, entry: &FileEntry) -> io::Result<std::fs::File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = std::fs::File::options().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(differs());
    }
    check_size(&file, entry)?;
    Ok(file)
}

fn check_size(file: &std::fs::File, entry: &FileEntry) -> io::Result<()> {
    if file.metadata()?.len() == entry.size { Ok(()) } else { Err(differs()) }
}

/// All bytes of a file, compared with its digest.
pub(super) fn read_checked(mut file: std::fs::File, entry: &FileEntry) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
    (&mut file).take(entry.size).read_to_end(&mut bytes)?;
    if Digest::of(&bytes) != entry.sha256 {
        return Err(differs());
    }
    Ok(bytes.into())
}

fn differs() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file on disk is not the one that was delivered")
}

pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
