//! A folder becomes a gzipped tar archive, always the same one.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dhow_core::noun::Digest;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use thiserror::Error;

/// Deepest folder that is packed.
const MAX_DEPTH: usize = 64;

/// A packed folder: a temporary file, removed when this is dropped.
#[derive(Debug)]
pub struct Packed {
    file: NamedTempFile,
    /// The digest of the archive.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How many regular files it holds.
    pub files: u64,
}

impl Packed {
    /// Where the archive lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// Why a folder cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The disk said no.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link, a device, a socket: what is no file and no folder.
    #[error(
        "{path} is {what}; a bundle holds only files and folders. Replace it by what it stands for, or remove it"
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// A name that is no text.
    #[error("{path:?} has a name that is not UTF-8; rename it")]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Folders within folders without end.
    #[error("{path} lies deeper than 64 folders")]
    Deep {
        /// The folder.
        path: PathBuf,
    },
    /// A file that grew or shrank.
    #[error("{path} changed while it was packed; pack when nothing writes to the folder")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The archive could not be written.
    #[error("the archive cannot be written to the temporary folder: {0}")]
    Write(io::Error),
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> PackError + '_ {
    move |source| PackError::Read { path: path.to_owned(), source }
}

/// Counts and hashes what passes.
struct Hashing<W> {
    to: W,
    hasher: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Packs a folder. Blocks. Files get mode 0644, or 0755 where their owner may execute them; folders 0755; everything
/// belongs to 0:0 and dates from 1970.
///
/// # Errors
/// Links and special files are refused; every error names the path.
pub fn pack(folder: &Path) -> Result<Packed, PackError> {
    let mut entries = Vec::new();
    list(folder, String::new(), 0, &mut entries)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let file = NamedTempFile::new().map_err(PackError::Write)?;
    let copy = file.reopen().map_err(PackError::Write)?;
    let hashing = Hashing { to: BufWriter::new(copy), hasher: Sha256::new(), size: 0 };
    // The header's time and system are fixed: else they would tell where and when it was packed.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(hashing, Compression::new(6));
    let mut archive = tar::Builder::new(gzip);
    let mut files = 0;
    for entry in &entries {
        files += u64::from(entry.is_file);
        append(&mut archive, entry)?;
    }
    let gzip = archive.into_inner().map_err(PackError::Write)?;
    let mut hashing = gzip.finish().map_err(PackError::Write)?;
    hashing.flush().map_err(PackError::Write)?;
    let digest = Digest::from_bytes(hashing.hasher.finalize().into());
    Ok(Packed { file, digest, size: hashing.size, files })
}

struct Entry {
    /// Path within the archive; a folder's ends with a slash.
    name: String,
    path: PathBuf,
    is_file: bool,
}

fn list(folder: &Path, prefix: String, depth: usize, entries: &mut Vec<Entry>) -> Result<(), PackError> {
    if depth > MAX_DEPTH {
        return Err(PackError::Deep { path: folder.to_owned() });
    }
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        let entry = entry.map_err(read_error(folder))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| PackError::Name { path: path.clone() })?;
        let kind = entry.file_type().map_err(read_error(&path))?;
        if kind.is_dir() {
            let name = format!("{prefix}{name}/");
            entries.push(Entry { name: name.clone(), path: path.clone(), is_file: false });
            list(&path, name, depth + 1, entries)?;
        } else if kind.is_file() {
            entries.push(Entry { name: format!("{prefix}{name}"), path, is_file: true });
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "a special file" };
            return Err(PackError::Kind { path, what });
        }
    }
    Ok(())
}

fn append<W: Write>(archive: &mut tar::Builder<W>, entry: &Entry) -> Result<(), PackError> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    if !entry.is_file {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        return archive.append_data(&mut header, &entry.name, io::empty()).map_err(PackError::Write);
    }
    let mut file = File::open(&entry.path).map_err(read_error(&entry.path))?;
    let metadata = file.metadata().map_err(read_error(&entry.path))?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode(&metadata));
    header.set_size(metadata.len());
    let mut exact = Exact { from: &mut file, left: metadata.len() };
    archive.append_data(&mut header, &entry.name, &mut exact).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => PackError::Changed { path: entry.path.clone() },
        _ => PackError::Write(error),
    })?;
    let mut more = [0];
    match file.read(&mut more).map_err(read_error(&entry.path))? {
        0 => Ok(()),
        _ => Err(PackError::Changed { path: entry.path.clone() }),
    }
}

fn mode(metadata: &Metadata) -> u32 {
    if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 }
}

/// Gives exactly as many bytes as the header announced; fewer would break the archive without a word.
struct Exact<'a> {
    from: &'a mut File,
    left: u64,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.from.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    #[test]
    fn the_same_files_give_the_same_digest_whatever_clock_order_and_umask() {
        let first = tree(&["index.html", "a/b.css", "z"]);
        let second = tree(&["z", "a/b.css", "index.html"]);
        let z = second.path().join("z");
        fs::set_permissions(&z, fs::Permissions::from_mode(0o600)).unwrap();
        File::open(&z).unwrap().set_modified(SystemTime::now() - Duration::from_secs(99_999)).unwrap();
        let (first, second) = (pack(first.path()).unwrap(), pack(second.path()).unwrap());
        assert_eq!(first.digest, second.digest);
        assert_eq!((first.files, first.size), (3, second.size));
        assert_eq!(Digest::of(&fs::read(first.path()).unwrap()), first.digest);
    }

    #[test]
    fn other_content_and_an_executable_bit_change_the_digest() {
        let folder = tree(&["run"]);
        let plain = pack(folder.path()).unwrap().digest;
        fs::set_permissions(folder.path().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        let executable = pack(folder.path()).unwrap().digest;
        fs::write(folder.path().join("run"), "x").unwrap();
        assert!(plain != executable && executable != pack(folder.path()).unwrap().digest);
    }

    #[test]
    fn entries_are_sorted_owned_by_nobody_and_dated_1970() {
        let long = format!("deep/{}", "n".repeat(180));
        let folder = tree(&["b", "a/x", &long]);
        let packed = pack(folder.path()).unwrap();
        let file = File::open(packed.path()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            names.push(entry.path().unwrap().to_str().unwrap().to_owned());
        }
        assert_eq!(names, ["a/", "a/x", "b", "deep/", &long]);
    }

    #[test]
    fn links_and_special_files_are_refused_by_path() {
        let folder = tree(&["index.html"]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let error = pack(folder.path()).unwrap_err().to_string();
        assert!(error.contains("/link is a symbolic link"), "{error}");
        fs::remove_file(folder.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(matches!(pack(folder.path()), Err(PackError::Kind { .. })));
    }
}
