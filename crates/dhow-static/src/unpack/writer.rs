use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dhow_core::noun::Digest;
use sha2::{Digest as _, Sha256};

use super::{Limits, Refusal, UnpackError};
use crate::disk;
use crate::manifest::FileEntry;

const BUFFER: usize = 64 << 10;

/// Why the copy of one file ended early.
enum CopyError {
    Read(io::Error),
    Write(io::Error),
    TooBig,
}

/// Creates files below one folder and keeps account of them. Paths given to it are clean.
pub(super) struct Writer<'a> {
    root: &'a Path,
    limits: &'a Limits,
    files: BTreeMap<String, FileEntry>,
    dirs: BTreeSet<String>,
    written: u64,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(root: &'a Path, limits: &'a Limits) -> Self {
        let buffer = vec![0; BUFFER];
        Self { root, limits, files: BTreeMap::new(), dirs: BTreeSet::new(), written: 0, buffer }
    }

    /// The bytes of all files so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Creates one file, and the folders above it. A read that fails is told as damage of the archive.
    pub(super) fn file(&mut self, path: &str, content: &mut dyn Read) -> Result<(), UnpackError> {
        let refuse = |refusal| UnpackError::entry(path.as_bytes(), refusal);
        if self.files.contains_key(path) {
            return Err(refuse(Refusal::Duplicate));
        }
        if self.dirs.contains(path) {
            return Err(refuse(Refusal::FileAndFolder));
        }
        if self.files.len() >= self.limits.files {
            return Err(UnpackError::TooManyFiles { limit: self.limits.files });
        }
        self.parents(path)?;
        let target = self.root.join(path);
        let entry = self.copy(&target, content).map_err(|error| match error {
            CopyError::Read(error) => UnpackError::Damaged(error),
            CopyError::Write(source) => UnpackError::Disk { path: target.clone(), source },
            CopyError::TooBig => {
                UnpackError::TooBig { limit: self.limits.total_bytes, name: path.to_owned() }
            }
        })?;
        self.files.insert(path.to_owned(), entry);
        Ok(())
    }

    fn parents(&mut self, path: &str) -> Result<(), UnpackError> {
        for (end, _) in path.match_indices('/') {
            let dir = &path[..end];
            if self.dirs.contains(dir) {
                continue;
            }
            if self.files.contains_key(dir) {
                return Err(UnpackError::entry(path.as_bytes(), Refusal::FileAndFolder));
            }
            let full = self.root.join(dir);
            fs::create_dir(&full)
                .and_then(|()| fs::set_permissions(&full, Permissions::from_mode(0o755)))
                .map_err(|source| UnpackError::Disk { path: full, source })?;
            self.dirs.insert(dir.to_owned());
        }
        Ok(())
    }

    fn copy(&mut self, target: &PathBuf, content: &mut dyn Read) -> Result<FileEntry, CopyError> {
        // `create_new` follows no link and opens nothing that exists.
        let mut file = File::create_new(target).map_err(CopyError::Write)?;
        file.set_permissions(Permissions::from_mode(0o644)).map_err(CopyError::Write)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Read(error)),
            };
            size += read as u64;
            self.written += read as u64;
            if self.written > self.limits.total_bytes {
                return Err(CopyError::TooBig);
            }
            hash.update(&self.buffer[..read]);
            file.write_all(&self.buffer[..read]).map_err(CopyError::Write)?;
        }
        Ok(FileEntry { size, sha256: Digest::from_bytes(hash.finalize().into()) })
    }

    /// Makes all of it durable.
    pub(super) fn finish(self) -> Result<BTreeMap<String, FileEntry>, UnpackError> {
        if self.files.is_empty() {
            return Err(UnpackError::Empty);
        }
        disk::sync_tree(
            self.root,
            self.files.keys().map(String::as_str),
            self.dirs.iter().map(String::as_str),
        )
        .map_err(|source| UnpackError::Disk { path: self.root.to_owned(), source })?;
        Ok(self.files)
    }
}
