//! What containers mount from the fleet: a folder named by its content, so that unchanged content keeps its path and
//! its container. What is not in the fleet is data, which all releases share and nothing prunes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use dhow_core::fleet::{EntryKind, Tree};
use dhow_core::noun::Digest;
use dhow_core::port::{Context, Executor, SentFile, TargetError};
use serde::{Deserialize, Serialize};

use super::path;
use super::which::is_settings;
use crate::engine::error;

/// One mounted folder.
const MAX_FILES: usize = 10_000;
/// All that is mounted.
const MAX_BYTES: usize = 256 << 20;
/// A folder that holds nothing else is there for its data.
const KEEPERS: [&str; 3] = [".gitkeep", ".keep", ".gitignore"];

/// A file or folder of the fleet that is mounted from a folder named by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Names the folder at the place.
    pub hash: String,
    /// Its own name.
    pub name: String,
    pub files: Vec<ContentFile>,
}

/// A file of some content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentFile {
    /// Path within the content; empty where the content is a file.
    pub path: String,
    /// Path in the fleet.
    pub from: String,
    pub executable: bool,
    /// Hash of its bytes.
    pub digest: String,
}

/// The fleet's files that content is made of.
pub(crate) fn fleet_files(content: &BTreeMap<String, Content>) -> BTreeSet<String> {
    content.values().flat_map(|content| content.files.iter().map(|file| file.from.clone())).collect()
}

/// The content of each mounted path that the fleet has; paths that are data are left out.
///
/// # Errors
/// The tree cannot be read, or holds too much.
pub(crate) fn contents<'a>(
    tree: &dyn Tree,
    folder: &str,
    mounted: impl IntoIterator<Item = &'a String>,
) -> Result<BTreeMap<String, Content>, TargetError> {
    let mut found = BTreeMap::new();
    let mut room = MAX_BYTES;
    for path in mounted {
        let read = content(tree, folder, path, &mut room).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => TargetError::Failed(error.to_string()),
            _ => TargetError::Passing(format!("{path} could not be read from the fleet: {error}")),
        })?;
        found.extend(read.map(|content| (path.clone(), content)));
    }
    Ok(found)
}

fn content(tree: &dyn Tree, folder: &str, at: &str, room: &mut usize) -> io::Result<Option<Content>> {
    let mut files = Vec::new();
    let own = tree.list(path::parent(at))?.into_iter().find(|entry| entry.name == path::name(at));
    match own.map(|entry| entry.kind) {
        Some(kind @ (EntryKind::File | EntryKind::Executable)) => {
            files.push(file(tree, String::new(), at, kind == EntryKind::Executable, room)?);
        }
        _ => below(tree, folder, at, &mut files, room)?,
    }
    let only_kept = files.iter().all(|file| KEEPERS.contains(&file.path.as_str()));
    if files.is_empty() || only_kept {
        return Ok(None);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let name = if at.is_empty() { "fleet" } else { path::name(at) };
    let hash = hash(name, &files);
    Ok(Some(Content { hash, name: name.to_owned(), files }))
}

fn below(
    tree: &dyn Tree,
    folder: &str,
    at: &str,
    files: &mut Vec<ContentFile>,
    room: &mut usize,
) -> io::Result<()> {
    let mut folders = vec![at.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in tree.list(&next)? {
            let found = path::join(&next, &entry.name);
            match entry.kind {
                EntryKind::Folder => folders.push(found),
                _ if is_settings(&found, folder) => {}
                EntryKind::File | EntryKind::Executable => {
                    let within = path::below(&found, at).unwrap_or(&found).to_owned();
                    files.push(file(tree, within, &found, entry.kind == EntryKind::Executable, room)?);
                }
                EntryKind::Symlink | EntryKind::Submodule => {}
            }
        }
        if files.len() > MAX_FILES {
            return Err(too_much(format!("{at:?} has more than {MAX_FILES} files; it cannot be mounted")));
        }
    }
    Ok(())
}

fn file(
    tree: &dyn Tree,
    path: String,
    from: &str,
    executable: bool,
    room: &mut usize,
) -> io::Result<ContentFile> {
    let bytes = tree.read(from)?.unwrap_or_default();
    *room = room.checked_sub(bytes.len()).ok_or_else(|| {
        too_much(format!(
            "the files that containers mount are bigger than {} MiB; put them into an image",
            MAX_BYTES >> 20
        ))
    })?;
    Ok(ContentFile { path, from: from.to_owned(), executable, digest: Digest::of(&bytes).hex() })
}

fn too_much(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Names content: its own name, since its folder holds it under that, and path, executable and hash of each file.
fn hash(name: &str, files: &[ContentFile]) -> String {
    let mut text = format!("{name}\n");
    for file in files {
        text.push_str(&format!("{}\0{}\0{}\n", file.path, file.executable, file.digest));
    }
    Digest::of(text.as_bytes()).hex().chars().take(32).collect()
}

/// Sends the content that the place does not have, to folders below `root`. A crash leaves each whole or not there.
pub(crate) async fn send<'a>(
    executor: &dyn Executor,
    root: &str,
    contents: impl Iterator<Item = &'a Content>,
    context: &Context,
) -> Result<(), TargetError> {
    for content in contents {
        let folder = format!("{root}/content/{}", content.hash);
        if !executor.list(&folder).await.map_err(error::executor)?.is_empty() {
            continue;
        }
        let Some(tree) = &context.tree else {
            return Err(TargetError::Blocked(format!(
                "the server does not have the files of release {}, and the fleet's commit that has them cannot be had \
                 any more; push that commit again, or roll out another release",
                context.hash.short()
            )));
        };
        let mut files = Vec::new();
        for file in &content.files {
            let bytes = tree.read(&file.from).ok().flatten().ok_or_else(|| {
                TargetError::Failed(format!("{} cannot be read from the fleet's commit", file.from))
            })?;
            files.push(SentFile {
                path: path::join(&content.name, &file.path),
                content: bytes.into(),
                mode: if file.executable { 0o755 } else { 0o644 },
            });
        }
        executor.send(&folder, &files).await.map_err(error::executor)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dhow_core::fleet::MemoryTree;

    use super::*;

    #[test]
    fn content_is_named_by_what_it_holds_and_data_has_no_content() {
        let tree = MemoryTree::new([
            ("s/conf/a", "1"),
            ("s/conf/b/c", "2"),
            ("s/data/.gitkeep", ""),
            ("t/conf/a", "1"),
            ("t/conf/b/c", "2"),
            ("s/dhow.yaml", "x"),
        ]);
        let paths = ["s/conf", "t/conf", "s/data", "s/none", "s/conf/a"].map(String::from);
        let found = contents(&tree, "s", &paths).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["s/conf", "s/conf/a", "t/conf"]);
        assert_eq!(found["s/conf"].hash, found["t/conf"].hash);
        assert_eq!(found["s/conf/a"].files[0].path, "");
        let twins =
            contents(&MemoryTree::new([("a", "1"), ("b", "1")]), "", &["a", "b"].map(String::from)).unwrap();
        assert_ne!(twins["a"].hash, twins["b"].hash, "one folder cannot hold both names");
        let all = contents(&tree, "s", &["s".to_owned()]).unwrap();
        assert!(all["s"].files.iter().all(|file| file.path != "dhow.yaml"));
    }
}
