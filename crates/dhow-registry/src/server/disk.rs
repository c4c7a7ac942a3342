//! The registry's content on disk.
//!
//! ```text
//! blobs/sha256/ab/<hex>                 content, whole and checked
//! uploads/                              what is on its way; nothing here is ever read as content
//! repositories/<path>/_blobs/<hex>      this repository has the blob (an empty file)
//!                    /_manifests/<hex>  this repository has the manifest (the file holds its media type)
//!                    /_tags/<tag>       the file holds the digest
//!                    /_referrers/<subject>/<hex>
//! ```
//!
//! Every file appears by a rename of a synced file, after what it refers to. Killed at any instant, the store holds
//! complete content only; what was cut short lies in `uploads/` and is removed later. A file's time of modification is
//! when it was last pushed or asked for: the collector goes by it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_core::noun::{Digest, Tag};
use uuid::Uuid;

use super::path::RepositoryPath;
use crate::media::Manifest;

pub(crate) const BLOBS: &str = "_blobs";
pub(crate) const MANIFESTS: &str = "_manifests";
pub(crate) const TAGS: &str = "_tags";
pub(crate) const REFERRERS: &str = "_referrers";

/// The folder, and the rules of writing to it. All calls block.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

/// A manifest as it was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Stored {
    /// Its content; it was checked when it was pushed.
    pub fn parse(&self) -> io::Result<Manifest> {
        serde_json::from_slice(&self.bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Puts the path into an error that the system gave without it.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// `None` where there is no such file.
pub(crate) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

impl Disk {
    /// Makes the folders where they are missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        let disk = Self { root: root.to_owned() };
        for folder in [root.join("blobs/sha256"), disk.uploads(), disk.repositories_root()] {
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
        sync_folder(root)?;
        Ok(disk)
    }

    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub fn content_root(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn repositories_root(&self) -> PathBuf {
        self.root.join("repositories")
    }

    /// Where content lies.
    pub fn content(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.content_root().join(&hex[..2]).join(&hex)
    }

    /// A folder of a repository: [`BLOBS`], [`MANIFESTS`], [`TAGS`] or [`REFERRERS`].
    pub fn folder(&self, repository: &RepositoryPath, kind: &str) -> PathBuf {
        self.repositories_root().join(repository.as_str()).join(kind)
    }

    pub fn link(&self, repository: &RepositoryPath, kind: &str, digest: &Digest) -> PathBuf {
        self.folder(repository, kind).join(digest.hex())
    }

    /// Moves a synced file to its place and makes the name durable. Creates folders, durably too.
    pub fn place(&self, from: &Path, to: &Path) -> io::Result<()> {
        let folder = to.parent().unwrap_or(&self.root);
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
        missing.reverse();
        for path in missing {
            present_already(fs::create_dir(path)).map_err(at(path))?;
            sync_folder(path.parent().unwrap_or(&self.root))?;
        }
        fs::rename(from, to).map_err(at(to))?;
        sync_folder(folder)
    }

    /// Writes a small file so that it is there whole or not at all.
    pub fn write(&self, to: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.uploads().join(format!("tmp-{}", Uuid::now_v7()));
        let written = File::create_new(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let placed = written.map_err(at(&temporary)).and_then(|()| self.place(&temporary, to));
        if placed.is_err() {
            drop(fs::remove_file(&temporary));
        }
        placed
    }

    /// Removes a file, durably. Whether it was there.
    pub fn remove(&self, path: &Path) -> io::Result<bool> {
        if present(fs::remove_file(path)).map_err(at(path))?.is_none() {
            return Ok(false);
        }
        sync_folder(path.parent().unwrap_or(&self.root))?;
        Ok(true)
    }

    /// Size of a blob of this repository. Asking for it makes it young again.
    pub fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> io::Result<Option<u64>> {
        let link = self.link(repository, BLOBS, digest);
        if !link.is_file() {
            return Ok(None);
        }
        let path = self.content(digest);
        let Some(metadata) = present(fs::metadata(&path)).map_err(at(&path))? else { return Ok(None) };
        self.touch(&link)?;
        self.touch(&path)?;
        Ok(Some(metadata.len()))
    }

    /// Says that this repository has the blob.
    pub fn link_blob(&self, repository: &RepositoryPath, digest: &Digest) -> io::Result<()> {
        let link = self.link(repository, BLOBS, digest);
        if link.is_file() { self.touch(&link) } else { self.write(&link, b"") }
    }

    /// A manifest of this repository.
    pub fn manifest(&self, repository: &RepositoryPath, digest: &Digest) -> io::Result<Option<Stored>> {
        let link = self.link(repository, MANIFESTS, digest);
        let Some(media_type) = present(fs::read_to_string(&link)).map_err(at(&link))? else {
            return Ok(None);
        };
        let path = self.content(digest);
        let bytes = present(fs::read(&path)).map_err(at(&path))?;
        Ok(bytes.map(|bytes| Stored { media_type, bytes }))
    }

    /// Writes a manifest: content, then the link, then what refers to it. Its tag is written by the caller, last.
    pub fn put_manifest(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        stored: &Stored,
        subject: Option<&Digest>,
    ) -> io::Result<()> {
        let path = self.content(digest);
        if path.is_file() {
            self.touch(&path)?
        } else {
            self.write(&path, &stored.bytes)?
        }
        self.write(&self.link(repository, MANIFESTS, digest), stored.media_type.as_bytes())?;
        if let Some(subject) = subject {
            self.write(&self.referrer(repository, subject, digest), b"")?;
        }
        Ok(())
    }

    pub fn referrer(&self, repository: &RepositoryPath, subject: &Digest, digest: &Digest) -> PathBuf {
        self.folder(repository, REFERRERS).join(subject.hex()).join(digest.hex())
    }

    /// Manifests that name this one as their subject, sorted.
    pub fn referrers(&self, repository: &RepositoryPath, subject: &Digest) -> io::Result<Vec<Digest>> {
        digests_in(&self.folder(repository, REFERRERS).join(subject.hex()))
    }

    /// What a tag names.
    pub fn tag(&self, repository: &RepositoryPath, tag: &Tag) -> io::Result<Option<Digest>> {
        let path = self.folder(repository, TAGS).join(tag.as_str());
        let Some(text) = present(fs::read_to_string(&path)).map_err(at(&path))? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| at(&path)(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Writes a tag: from here on everybody sees it.
    pub fn put_tag(&self, repository: &RepositoryPath, tag: &Tag, digest: &Digest) -> io::Result<()> {
        self.write(&self.folder(repository, TAGS).join(tag.as_str()), digest.to_string().as_bytes())
    }

    /// The tags in ASCII order; empty where there are none.
    pub fn tags(&self, repository: &RepositoryPath) -> io::Result<Vec<Tag>> {
        let mut tags: Vec<Tag> = names_in(&self.folder(repository, TAGS))?
            .into_iter()
            .filter_map(|name| Tag::new(name).ok())
            .collect();
        tags.sort();
        Ok(tags)
    }

    /// Whether anything was ever pushed to this repository and is still there.
    pub fn knows(&self, repository: &RepositoryPath) -> bool {
        [TAGS, MANIFESTS, BLOBS].iter().any(|kind| self.folder(repository, kind).is_dir())
    }

    /// Digests of all manifests, or blobs, of a repository, sorted.
    pub fn digests(&self, repository: &RepositoryPath, kind: &str) -> io::Result<Vec<Digest>> {
        digests_in(&self.folder(repository, kind))
    }

    /// All repositories, sorted.
    pub fn repositories(&self) -> io::Result<Vec<RepositoryPath>> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            for name in names_in(&self.repositories_root().join(&path))? {
                if !name.starts_with('_') {
                    open.push(if path.is_empty() { name } else { format!("{path}/{name}") });
                }
            }
            found.extend(RepositoryPath::new(&path).ok().filter(|path| self.knows(path)));
        }
        found.sort();
        Ok(found)
    }

    /// Makes a file young: the collector leaves it for a while. One that went meanwhile is none.
    pub fn touch(&self, path: &Path) -> io::Result<()> {
        let touched =
            File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        present(touched).map(|_| ()).map_err(at(path))
    }

    /// When a file was last pushed or asked for; `None` where it is gone.
    pub fn modified(&self, path: &Path) -> io::Result<Option<SystemTime>> {
        present(fs::metadata(path).and_then(|metadata| metadata.modified())).map_err(at(path))
    }
}

fn present_already(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Names in a folder; none where there is no folder. Names that are no text are none of ours.
pub(crate) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = present(fs::read_dir(folder)).map_err(at(folder))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(at(folder))?.file_name().into_string());
    }
    Ok(names)
}

fn digests_in(folder: &Path) -> io::Result<Vec<Digest>> {
    let mut digests: Vec<Digest> =
        names_in(folder)?.iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect();
    digests.sort();
    Ok(digests)
}
