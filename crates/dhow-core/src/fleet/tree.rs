//! The files of a fleet at one commit, wherever they lie.

use std::collections::BTreeMap;
use std::io;

use crate::noun::Digest;

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file that may be executed.
    Executable,
    /// A folder.
    Folder,
    /// A symbolic link; never followed.
    Symlink,
    /// Another repository; never entered.
    Submodule,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without its folder.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// An identifier of its content: equal identifiers mean equal content. A folder's covers all below it. Where the
    /// tree knows none for folders, it is empty.
    pub content: String,
}

/// The files of a fleet at one commit. Paths are relative to the fleet's root, with `/`, without `.` and `..`.
///
/// A tree never changes: reading it twice gives the same. Reads are quick and local.
pub trait Tree: Send + Sync {
    /// The bytes of a file; `None` where there is no file. A symbolic link is no file.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// The entries of a folder, sorted by name; empty where there is no folder. `""` is the root.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;

    /// Where a symbolic link points, as it is written; `None` where there is no link or the tree cannot tell.
    fn link(&self, _path: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// The identifier that this tree gives to these bytes.
    fn content_of(&self, bytes: &[u8]) -> String;

    /// The content identifier of a file; `None` where there is none.
    fn content(&self, path: &str) -> io::Result<Option<String>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok(self.list(folder)?.into_iter().find(|e| e.name == name).map(|e| e.content))
    }
}

/// A tree in memory: path to bytes. For tests and for trees that are being edited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTree {
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl MemoryTree {
    /// A tree of these files.
    pub fn new<P: Into<String>, B: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, B)>) -> Self {
        Self { files: files.into_iter().map(|(p, b)| (p.into(), b.into())).collect() }
    }
}

impl Tree for MemoryTree {
    fn content_of(&self, bytes: &[u8]) -> String {
        Digest::of(bytes).hex()
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.get(path).cloned())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (path, bytes) in self.files.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(&prefix) else { break };
            let (name, kind, content) = match rest.split_once('/') {
                Some((name, _)) => (name, EntryKind::Folder, String::new()),
                None => (rest, EntryKind::File, self.content_of(bytes)),
            };
            entries.entry(name.into()).or_insert(Entry { name: name.into(), kind, content });
        }
        Ok(entries.into_values().collect())
    }
}
