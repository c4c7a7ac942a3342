//! A folder of this machine as a tar archive that is made while it is read, of a length that is known before.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tar::EntryType;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufWriter};

use super::send::{TIME, named};

/// What ends an archive.
const END: [u8; 1024] = [0; 1024];
/// Bytes that are read and written at once.
const CHUNK: usize = 256 << 10;
/// Size of an archive's blocks.
const BLOCK: u64 = 512;

/// The archive of a folder: the manifest, and its files below `files/`.
#[derive(Debug)]
pub(crate) struct Pack {
    root: PathBuf,
    folders: BTreeSet<String>,
    files: Vec<Packed>,
    manifest: String,
    length: u64,
    fault: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Packed {
    path: String,
    mode: u32,
    size: u64,
}

impl Pack {
    /// Reads the whole folder once, for its manifest. Blocks.
    ///
    /// # Errors
    /// What cannot be read or sent, for people.
    pub(super) fn of(root: &Path) -> Result<Self, String> {
        let (mut files, mut folders) = (Vec::new(), BTreeSet::new());
        walk(root, "", &mut files, &mut folders)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut manifest = String::new();
        for file in &files {
            let path = root.join(&file.path);
            let (hash, size) = hash(&path).map_err(|error| trouble(&path, &error))?;
            if size != file.size {
                return Err(changed(&path));
            }
            let _ = writeln!(manifest, "{hash}  ./{}", file.path);
        }
        let mut pack =
            Self { root: root.to_owned(), folders, files, manifest, length: 0, fault: Mutex::default() };
        pack.length = pack.measure().map_err(|error| trouble(root, &error))?;
        Ok(pack)
    }

    /// The archive's bytes.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// What `sha256sum -c` reads.
    pub(super) fn manifest(&self) -> &str {
        &self.manifest
    }

    /// The mode of each file.
    pub(super) fn modes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.files.iter().map(|file| file.mode)
    }

    /// Why it could not be written, where that was this machine's fault.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The headers in front of the files' own.
    fn beginning(&self) -> io::Result<Vec<u8>> {
        let size = self.manifest.len() as u64;
        let mut bytes = header("manifest", EntryType::Regular, 0o600, size)?;
        bytes.extend_from_slice(self.manifest.as_bytes());
        bytes.resize(bytes.len() + padding(size), 0);
        bytes.extend(header("files/", EntryType::Directory, 0o755, 0)?);
        for folder in &self.folders {
            bytes.extend(header(&format!("files/{folder}/"), EntryType::Directory, 0o755, 0)?);
        }
        Ok(bytes)
    }

    fn measure(&self) -> io::Result<u64> {
        let mut length = (self.beginning()?.len() + END.len()) as u64;
        for file in &self.files {
            length += file.header()?.len() as u64 + file.size + padding(file.size) as u64;
        }
        Ok(length)
    }

    /// Writes the archive. Exactly [`Pack::len`] bytes, or an error: what is there then is no archive.
    pub(crate) async fn write_to(&self, to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(CHUNK, to);
        to.write_all(&self.beginning()?).await?;
        let mut buffer = vec![0; CHUNK];
        for file in &self.files {
            to.write_all(&file.header()?).await?;
            let path = self.root.join(&file.path);
            let mut from = match tokio::fs::File::open(&path).await {
                Ok(from) => from,
                Err(error) => return Err(self.fail(trouble(&path, &error))),
            };
            let mut left = file.size;
            loop {
                let count =
                    from.read(&mut buffer).await.map_err(|error| self.fail(trouble(&path, &error)))?;
                if count as u64 > left || (count == 0 && left > 0) {
                    return Err(self.fail(changed(&path)));
                }
                if count == 0 {
                    break;
                }
                to.write_all(&buffer[..count]).await?;
                left -= count as u64;
            }
            to.write_all(&END[..padding(file.size)]).await?;
        }
        to.write_all(&END).await?;
        to.flush().await
    }

    fn fail(&self, why: String) -> io::Error {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        io::Error::other(why)
    }
}

impl Packed {
    fn header(&self) -> io::Result<Vec<u8>> {
        header(&format!("files/{}", self.path), EntryType::Regular, self.mode, self.size)
    }
}

/// An entry without its content.
fn header(path: &str, kind: EntryType, mode: u32, size: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(TIME);
    header.set_size(size);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, path, io::empty())?;
    Ok(tar.get_ref().clone())
}

/// Bytes between a content's end and the next block.
fn padding(size: u64) -> usize {
    // Less than a block.
    ((BLOCK - size % BLOCK) % BLOCK) as usize
}

fn walk(
    root: &Path,
    prefix: &str,
    files: &mut Vec<Packed>,
    folders: &mut BTreeSet<String>,
) -> Result<(), String> {
    let dir = root.join(prefix);
    for entry in fs::read_dir(&dir).map_err(|error| trouble(&dir, &error))? {
        let entry = entry.map_err(|error| trouble(&dir, &error))?;
        let name = entry.file_name();
        let shown = entry.path();
        let name =
            name.to_str().ok_or_else(|| format!("{} has no UTF-8 name: rename it", shown.display()))?;
        let path = format!("{prefix}{name}");
        named(&path)?;
        let metadata = entry.metadata().map_err(|error| trouble(&shown, &error))?;
        if metadata.is_dir() {
            walk(root, &format!("{path}/"), files, folders)?;
            folders.insert(path);
        } else if metadata.is_file() {
            let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            files.push(Packed { path, mode, size: metadata.len() });
        } else {
            return Err(format!("{} is neither a file nor a folder: take it away", shown.display()));
        }
    }
    Ok(())
}

fn hash(path: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut buffer, mut size) = (vec![0; CHUNK], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(hash.finalize()), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

fn trouble(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read here: {error}", path.display())
}

fn changed(path: &Path) -> String {
    format!("{} changed while it was read; try again", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let long = "a folder with a name that is long ".repeat(3);
        fs::create_dir_all(folder.path().join(&long).join(&long)).unwrap();
        for (path, size) in [("empty", 0), ("block", 512), ("more", 600_001), ("less", 511)] {
            fs::write(folder.path().join(path), vec![b'x'; size]).unwrap();
        }
        fs::write(folder.path().join(&long).join(&long).join("deep"), "deep").unwrap();
        folder
    }

    #[tokio::test]
    async fn an_archive_has_the_length_that_was_told_and_all_files() {
        let folder = folder();
        let pack = Pack::of(folder.path()).unwrap();
        let mut bytes = Vec::new();
        pack.write_to(&mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, pack.len());
        let out = tempfile::tempdir().unwrap();
        tar::Archive::new(&bytes[..]).unpack(out.path()).unwrap();
        let again = Pack::of(&out.path().join("files")).unwrap();
        assert_eq!(again.manifest(), pack.manifest());
        assert_eq!(fs::read_to_string(out.path().join("manifest")).unwrap(), pack.manifest());
        assert_eq!(pack.modes().len(), 5);
    }

    #[tokio::test]
    async fn a_file_that_changes_meanwhile_is_told_and_no_whole_archive_is_made() {
        for size in [0, 2000] {
            let folder = folder();
            let pack = Pack::of(folder.path()).unwrap();
            fs::write(folder.path().join("block"), vec![b'x'; size]).unwrap();
            let mut bytes = Vec::new();
            pack.write_to(&mut bytes).await.unwrap_err();
            assert!((bytes.len() as u64) < pack.len());
            assert!(pack.fault().unwrap().contains("block changed while"), "{:?}", pack.fault());
        }
    }

    #[test]
    fn a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("a")).unwrap();
        assert!(Pack::of(folder.path()).unwrap_err().contains("neither a file nor a folder"));
    }
}
