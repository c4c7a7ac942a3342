//! A folder of files through one tar stream.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dhow_core::port::{ExecutorError, PlaceLock, SentFile};
use sha2::{Digest as _, Sha256};

use super::{Pack, checked, command, here, judged, script};
use crate::executor::request::Input;
use crate::executor::shell::{Shell, Transport};

const SAME: &str = include_str!("same.sh");
const PUT: &str = include_str!("put.sh");
/// 1 January 2000: the same files make the same archive.
pub(super) const TIME: u64 = 946_684_800;

/// Sends what is not there.
pub(crate) async fn send<T: Transport>(
    shell: &Shell<T>,
    folder: &str,
    files: &[SentFile],
) -> Result<(), ExecutorError> {
    let folder = target(folder)?;
    let manifest = manifest(files)?;
    if shell.transport.is_here() {
        let (folder, files) = (PathBuf::from(folder), files.to_vec());
        let what = unsent(&folder.to_string_lossy());
        let work = move || match here::same(&folder, &files)? {
            true => Ok(()),
            false => here::send(&folder, &files),
        };
        return here::here(what, shell.transport.label(), work).await;
    }
    let modes = files.iter().map(|file| file.mode);
    if is_there(shell, folder, manifest.clone(), modes).await? {
        return Ok(());
    }
    let archive = archive(&manifest, files)
        .map_err(|error| ExecutorError::Refused(format!("{folder} cannot be packed: {error}")))?;
    let count = files.len().to_string();
    script(shell, &unsent(folder), PUT, &[folder, &count], Some(archive)).await.map(|_| ())
}

/// Sends what is not there of a folder of this machine, as a stream.
pub(crate) async fn send_folder<T: Transport>(
    shell: &Shell<T>,
    lock: &PlaceLock,
    folder: &str,
    from: &Path,
) -> Result<(), ExecutorError> {
    let folder = target(folder)?;
    let refused = |why: String| ExecutorError::Refused(format!("{}: {why}", unsent(folder)));
    let root = from.to_owned();
    let pack = tokio::task::spawn_blocking(move || Pack::of(&root))
        .await
        .map_err(|error| refused(format!("the thread that reads it ended early: {error}")))?
        .map_err(refused)?;
    if is_there(shell, folder, pack.manifest().to_owned(), pack.modes()).await? {
        return Ok(());
    }
    let count = pack.modes().len().to_string();
    let command = command(PUT, &[folder, &count], pack.len());
    let output = shell.perform(&command, Input::Pack(&pack), Some(lock), &()).await;
    match pack.fault() {
        Some(why) => Err(refused(why)),
        None => judged(shell, &unsent(folder), output?).map(|_| ()),
    }
}

fn unsent(folder: &str) -> String {
    format!("{folder} cannot be sent")
}

/// A folder that may be replaced.
fn target(folder: &str) -> Result<&str, ExecutorError> {
    let folder = checked(folder)?;
    if folder.matches('/').count() < 2 {
        return Err(ExecutorError::Refused(format!("{folder} is not replaced: it is too near the root")));
    }
    Ok(folder)
}

/// The place has exactly these files already.
async fn is_there<T: Transport>(
    shell: &Shell<T>,
    folder: &str,
    manifest: String,
    files: impl ExactSizeIterator<Item = u32>,
) -> Result<bool, ExecutorError> {
    let count = files.len().to_string();
    let mut modes: BTreeMap<u32, usize> = BTreeMap::new();
    for mode in files {
        *modes.entry(mode).or_default() += 1;
    }
    let modes: Vec<String> =
        modes.iter().flat_map(|(mode, count)| [format!("{mode:o}"), count.to_string()]).collect();
    let mut args = vec![folder, &count];
    args.extend(modes.iter().map(String::as_str));
    let known = script(shell, &unsent(folder), SAME, &args, Some(manifest.into())).await?;
    Ok(known.is_some())
}

/// A path below a folder that can be sent.
pub(super) fn named(path: &str) -> Result<(), String> {
    let legal = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(legal) && !path.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("a file named {path:?} is not sent: rename it"))
}

/// What `sha256sum -c` reads.
fn manifest(files: &[SentFile]) -> Result<String, ExecutorError> {
    let mut names = BTreeSet::new();
    let mut manifest = String::new();
    for file in files {
        named(&file.path).map_err(ExecutorError::Refused)?;
        if !names.insert(&file.path) {
            return Err(ExecutorError::Refused(format!("the file {:?} would be sent twice", file.path)));
        }
        let _ = writeln!(manifest, "{}  ./{}", hex::encode(Sha256::digest(&file.content)), file.path);
    }
    Ok(manifest)
}

fn archive(manifest: &str, files: &[SentFile]) -> std::io::Result<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: String, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(TIME);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content)
    };
    add("manifest".into(), tar::EntryType::Regular, 0o600, manifest.as_bytes())?;
    add("files/".into(), tar::EntryType::Directory, 0o755, &[])?;
    let folders: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| file.path.match_indices('/').map(|(end, _)| &file.path[..end]))
        .collect();
    for folder in folders {
        add(format!("files/{folder}/"), tar::EntryType::Directory, 0o755, &[])?;
    }
    for file in files {
        add(format!("files/{}", file.path), tar::EntryType::Regular, file.mode, &file.content)?;
    }
    Ok(tar.into_inner()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> SentFile {
        SentFile { path: path.into(), content: "x".into(), mode: 0o644 }
    }

    #[test]
    fn a_file_cannot_lead_out_of_its_folder() {
        for path in ["../x", "/x", "a/../../x", "", "a//b", "a\nb", "./a"] {
            assert!(manifest(&[file(path)]).is_err(), "{path:?}");
        }
        assert!(manifest(&[file("a"), file("a")]).is_err());
        assert!(manifest(&[file("a b/c 'd'.yml")]).is_ok());
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let files = [file("a/b/c"), file("d")];
        let manifest = manifest(&files).unwrap();
        assert_eq!(archive(&manifest, &files).unwrap(), archive(&manifest, &files).unwrap());
    }
}
