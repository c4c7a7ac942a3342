//! A folder of files through one tar stream.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use dhow_core::port::{ExecutorError, SentFile};
use sha2::{Digest as _, Sha256};

use super::{checked, here, script};
use crate::executor::shell::{Shell, Transport};

const SAME: &str = include_str!("same.sh");
const PUT: &str = include_str!("put.sh");
/// 1 January 2000: the same files make the same archive.
const TIME: u64 = 946_684_800;

/// Sends what is not there.
pub(crate) async fn send<T: Transport>(
    shell: &Shell<T>,
    folder: &str,
    files: &[SentFile],
) -> Result<(), ExecutorError> {
    let folder = checked(folder)?;
    if folder.matches('/').count() < 2 {
        return Err(ExecutorError::Refused(format!("{folder} is not replaced: it is too near the root")));
    }
    let manifest = manifest(files)?;
    let what = format!("{folder} cannot be sent");
    if shell.transport.is_here() {
        let (folder, files) = (PathBuf::from(folder), files.to_vec());
        let work = move || match here::same(&folder, &files)? {
            true => Ok(()),
            false => here::send(&folder, &files),
        };
        return here::here(what, shell.transport.label(), work).await;
    }
    let count = files.len().to_string();
    let mut modes: BTreeMap<u32, usize> = BTreeMap::new();
    for file in files {
        *modes.entry(file.mode).or_default() += 1;
    }
    let modes: Vec<String> =
        modes.iter().flat_map(|(mode, count)| [format!("{mode:o}"), count.to_string()]).collect();
    let mut args = vec![folder, &count];
    args.extend(modes.iter().map(String::as_str));
    let known = script(shell, &what, SAME, &args, Some(manifest.clone().into())).await?;
    if known.is_some() {
        return Ok(());
    }
    let archive = archive(&manifest, files)
        .map_err(|error| ExecutorError::Refused(format!("{folder} cannot be packed: {error}")))?;
    script(shell, &what, PUT, &[folder, &count], Some(archive)).await.map(|_| ())
}

/// What `sha256sum -c` reads.
fn manifest(files: &[SentFile]) -> Result<String, ExecutorError> {
    let mut names = BTreeSet::new();
    let mut manifest = String::new();
    for file in files {
        let legal = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !file.path.split('/').all(legal) || file.path.chars().any(char::is_control) {
            let path = &file.path;
            return Err(ExecutorError::Refused(format!("a file named {path:?} is not sent: rename it")));
        }
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
