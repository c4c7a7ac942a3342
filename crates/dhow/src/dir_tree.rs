//! A folder on this machine as the tree of a fleet.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dhow_core::fleet::{Entry, EntryKind, Tree};
use sha2::{Digest, Sha256};

/// Longest file that is read into memory, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The files below a folder, without `.git`. Symbolic links are shown and never followed.
///
/// A tree never changes, a folder may: what is read is what is there at that moment, and the identifier of a file's
/// content is computed once.
#[derive(Debug)]
pub struct DirTree {
    root: PathBuf,
    contents: Mutex<HashMap<PathBuf, String>>,
}

impl DirTree {
    /// The tree of a folder. Fails if there is none.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "this is no folder"));
        }
        Ok(Self { root, contents: Mutex::default() })
    }

    /// The place of a path; `None` where the path is not within the fleet or passes through a symbolic link.
    fn place(&self, path: &str) -> io::Result<Option<PathBuf>> {
        let mut place = self.root.clone();
        let names: Vec<&str> = path.split('/').filter(|_| !path.is_empty()).collect();
        for (index, name) in names.iter().enumerate() {
            if matches!(*name, "" | "." | ".." | ".git") || name.contains(['\0', std::path::MAIN_SEPARATOR]) {
                return Ok(None);
            }
            place.push(name);
            let is_last = index + 1 == names.len();
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_symlink() && !is_last => return Ok(None),
                Ok(_) => {}
                Err(error) if absent(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(place))
    }

    fn content_at(&self, place: &Path) -> io::Result<String> {
        let known = self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned();
        if let Some(content) = known {
            return Ok(content);
        }
        let mut hash = Sha256::new();
        let mut file = File::open(place)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let content = hex::encode(hash.finalize());
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        contents.insert(place.to_owned(), content.clone());
        Ok(content)
    }

    fn entry(&self, place: &Path, name: String) -> io::Result<Option<Entry>> {
        let found = fs::symlink_metadata(place)?;
        let kind = match found.file_type() {
            kind if kind.is_symlink() => EntryKind::Symlink,
            // A checked-out submodule has a `.git` of its own.
            kind if kind.is_dir() && fs::symlink_metadata(place.join(".git")).is_ok() => EntryKind::Submodule,
            kind if kind.is_dir() => EntryKind::Folder,
            kind if kind.is_file() && is_executable(&found) => EntryKind::Executable,
            kind if kind.is_file() => EntryKind::File,
            // Sockets, pipes and devices are nothing that Git could hold.
            _ => return Ok(None),
        };
        let content = match kind {
            EntryKind::File | EntryKind::Executable => self.content_at(place)?,
            _ => String::new(),
        };
        Ok(Some(Entry { name, kind, content }))
    }
}

#[cfg(unix)]
fn is_executable(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_found: &fs::Metadata) -> bool {
    false
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Tree for DirTree {
    fn content_of(&self, bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(place) = self.place(path)? else { return Ok(None) };
        if !fs::symlink_metadata(&place)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(&place)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            let message = format!("{path} has more than {MAX_FILE} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let Some(place) = self.place(folder)? else { return Ok(Vec::new()) };
        if !fs::symlink_metadata(&place)?.is_dir() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(&place)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != ".git" {
                entries.extend(self.entry(&entry.path(), name)?);
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn link(&self, path: &str) -> io::Result<Option<String>> {
        let Some(place) = self.place(path)? else { return Ok(None) };
        if !fs::symlink_metadata(&place)?.is_symlink() {
            return Ok(None);
        }
        Ok(Some(fs::read_link(place)?.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_and_left_by_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("fleet");
        fs::create_dir_all(root.join("a/.git")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        fs::write(root.join("b/x"), "1").unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        let tree = DirTree::open(&root).unwrap();
        let kinds: Vec<_> = tree.list("").unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        assert_eq!(kinds, [("a".into(), EntryKind::Submodule), ("b".into(), EntryKind::Folder)]);
        assert_eq!(tree.read("b/x").unwrap().unwrap(), b"1");
        assert_eq!(tree.content("b/x").unwrap().unwrap(), dhow_core::noun::Digest::of(b"1").hex());
        for path in ["../secret", "b/../../secret", "/b/x", "b", "c", "b/x/y", ".git"] {
            assert_eq!(tree.read(path).unwrap(), None, "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_shown_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/x"), "1").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let tree = DirTree::open(dir.path()).unwrap();
        assert_eq!(tree.list("").unwrap()[0].kind, EntryKind::Symlink);
        assert_eq!(tree.read("link/x").unwrap(), None);
        assert_eq!(tree.list("link").unwrap(), []);
        assert_eq!(tree.link("link").unwrap().as_deref(), Some("real"));
    }
}
