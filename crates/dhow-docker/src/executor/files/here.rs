//! The same on this machine, where no shell is in between: a deploy asks for many small files.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dhow_core::port::{ExecutorError, SentFile};

use crate::executor::shell::nonce;
use crate::executor::trouble;

/// Largest file that is read.
const MAX: u64 = 16 << 20;
/// What is older was left by somebody who was killed.
const STALE: Duration = Duration::from_secs(3600);

/// Does something with files, off the threads that wait for the network; told is what could not be done.
pub(super) async fn here<T: Send + 'static>(
    what: String,
    label: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ExecutorError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(trouble::of_text(&what, label, &error.to_string())),
        Err(error) => Err(ExecutorError::Refused(format!("{what}: {error}"))),
    }
}

fn missing<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        _ => Err(error),
    }
}

pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return missing(error),
    };
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX {
        return Err(io::Error::other("it has more than 16 MiB"));
    }
    Ok(Some(bytes))
}

pub(super) fn list(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return missing(error).map(Option::unwrap_or_default),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether there is a socket, and this user may use it.
pub(super) fn socket(path: &Path) -> io::Result<Option<bool>> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            // Connecting is what needs the right to it.
            let tried = std::os::unix::net::UnixStream::connect(path);
            Ok(Some(!matches!(tried, Err(error) if error.kind() == ErrorKind::PermissionDenied)))
        }
        Ok(_) => Ok(None),
        Err(error) => missing(error),
    }
}

pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let (folder, beside) = beside(path)?;
    let written = put(&beside, content, mode).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _gone = fs::remove_file(&beside);
    }
    written?;
    sync(&folder)
}

/// Whether a folder holds exactly these files.
pub(super) fn same(folder: &Path, files: &[SentFile]) -> io::Result<bool> {
    let wanted: BTreeMap<PathBuf, &SentFile> =
        files.iter().map(|file| (folder.join(&file.path), file)).collect();
    let (mut open, mut seen) = (vec![folder.to_owned()], 0);
    while let Some(inner) = open.pop() {
        let entries = match fs::read_dir(&inner) {
            Ok(entries) => entries,
            Err(error) => return missing::<()>(error).map(|_| false),
        };
        for entry in entries {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            let Some(file) = wanted.get(&path).filter(|_| kind.is_file()) else { return Ok(false) };
            let fits = kind.len() == file.content.len() as u64
                && kind.permissions().mode() & 0o7777 == file.mode
                && fs::read(&path)? == file.content;
            if !fits {
                return Ok(false);
            }
            seen += 1;
        }
    }
    Ok(seen == files.len())
}

/// Makes a folder hold exactly these files, by one rename.
pub(super) fn send(folder: &Path, files: &[SentFile]) -> io::Result<()> {
    let (parent, work) = beside(folder)?;
    let done = fill(&work, files).and_then(|()| {
        if folder.symlink_metadata().is_ok() {
            fs::rename(folder, work.join("old"))?;
        }
        fs::rename(work.join("files"), folder).inspect_err(|_| {
            let _back = fs::rename(work.join("old"), folder);
        })
    });
    let _gone = fs::remove_dir_all(&work);
    done?;
    sync(&parent)
}

fn fill(work: &Path, files: &[SentFile]) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(work)?;
    let top = work.join("files");
    let folders = DirBuilder::new().mode(0o755).create(&top);
    folders?;
    readable(&top)?;
    for file in files {
        let path = top.join(&file.path);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            for folder in parent.ancestors().take_while(|folder| *folder != top) {
                readable(folder)?;
            }
        }
        put(&path, &file.content, file.mode)?;
    }
    sync(&top)
}

/// Containers read what is sent as other people do, whatever the umask of this process is.
fn readable(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder of a path, which is made, and a name in it that nobody else has. What others left there long ago goes.
fn beside(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it is the root"));
    };
    fs::create_dir_all(folder)?;
    let prefix = format!(".{}.dhow-", name.to_string_lossy());
    for entry in fs::read_dir(folder)?.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(&prefix);
        let age = || entry.metadata().and_then(|found| found.modified()).ok();
        let stale = |at: SystemTime| at.elapsed().is_ok_and(|age| age > STALE);
        if ours && age().is_some_and(stale) {
            let _gone = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
    Ok((folder.to_owned(), folder.join(format!("{prefix}{}", nonce()))))
}
