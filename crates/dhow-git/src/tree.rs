//! The files of a commit, read from the mirror.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dhow_core::fleet::{Entry, EntryKind, Tree};
use gix::bstr::ByteSlice;
use gix::{ObjectId, ThreadSafeRepository};

/// The largest file that is read.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A folder's entries, sorted by name; `None` where there is no folder.
type Folder = Option<Arc<Vec<Entry>>>;

/// A tree of the mirror. Folders that were read once are kept.
pub(crate) struct GitTree {
    repo: ThreadSafeRepository,
    root: ObjectId,
    folders: Mutex<HashMap<String, Folder>>,
}

impl GitTree {
    pub(crate) fn new(repo: ThreadSafeRepository, root: ObjectId) -> Self {
        Self { repo, root, folders: Mutex::default() }
    }

    fn folder(&self, path: &str) -> io::Result<Folder> {
        if let Some(known) = self.folders.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(known.clone());
        }
        let id = match path {
            "" => Some(self.root),
            _ => self.entry(path)?.filter(|e| e.kind == EntryKind::Folder).map(|e| id_of(&e)).transpose()?,
        };
        let folder = id.map(|id| self.load(id).map(Arc::new)).transpose()?;
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), folder.clone());
        Ok(folder)
    }

    fn entry(&self, path: &str) -> io::Result<Option<Entry>> {
        if path.starts_with('/') {
            return Ok(None);
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(entries) = self.folder(folder)? else { return Ok(None) };
        let at = entries.binary_search_by(|e| e.name.as_str().cmp(name));
        Ok(at.ok().map(|at| entries[at].clone()))
    }

    /// Names that are not UTF-8 are shown with replacement characters and cannot be read.
    fn load(&self, id: ObjectId) -> io::Result<Vec<Entry>> {
        let repo = self.repo.to_thread_local();
        let tree = repo.find_tree(id).map_err(|e| broken(id, e))?;
        let decoded = tree.decode().map_err(|e| broken(id, e))?;
        let entries = decoded.entries.iter().map(|entry| Entry {
            name: entry.filename.to_str_lossy().into_owned(),
            kind: kind_of(entry.mode),
            content: entry.oid.to_string(),
        });
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

impl Tree for GitTree {
    fn content_of(&self, bytes: &[u8]) -> String {
        let id = gix::objs::compute_hash(self.root.kind(), gix::object::Kind::Blob, bytes);
        id.map(|id| id.to_string()).unwrap_or_default()
    }

    fn link(&self, path: &str) -> io::Result<Option<String>> {
        let Some(entry) = self.entry(path)?.filter(|e| e.kind == EntryKind::Symlink) else { return Ok(None) };
        let id = id_of(&entry)?;
        let repo = self.repo.to_thread_local();
        let target = repo.find_blob(id).map_err(|e| broken(id, e))?.take_data();
        Ok(String::from_utf8(target).ok())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let is_file = |e: &Entry| matches!(e.kind, EntryKind::File | EntryKind::Executable);
        let Some(entry) = self.entry(path)?.filter(is_file) else { return Ok(None) };
        let id = id_of(&entry)?;
        let repo = self.repo.to_thread_local();
        let size = repo.find_header(id).map_err(|e| broken(id, e))?.size();
        if size > LARGEST {
            let what = format!("{path} has {size} bytes; files of a fleet may have at most {LARGEST}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(Some(repo.find_blob(id).map_err(|e| broken(id, e))?.take_data()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        Ok(self.folder(folder)?.map(|entries| entries.to_vec()).unwrap_or_default())
    }

    fn content(&self, path: &str) -> io::Result<Option<String>> {
        if path.is_empty() {
            return Ok(Some(self.root.to_string()));
        }
        Ok(self.entry(path)?.map(|e| e.content))
    }
}

fn kind_of(mode: gix::objs::tree::EntryMode) -> EntryKind {
    use gix::objs::tree::EntryKind as Git;
    match mode.kind() {
        Git::Tree => EntryKind::Folder,
        Git::Blob => EntryKind::File,
        Git::BlobExecutable => EntryKind::Executable,
        Git::Link => EntryKind::Symlink,
        Git::Commit => EntryKind::Submodule,
    }
}

fn id_of(entry: &Entry) -> io::Result<ObjectId> {
    ObjectId::from_hex(entry.content.as_bytes()).map_err(io::Error::other)
}

fn broken(id: ObjectId, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("object {id} of the fleet's mirror cannot be read: {error}"))
}
