//! The few things about durability that std does not have.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Above this many files one flush of the file system is cheaper than a flush of each file.
const SYNC_ONE_BY_ONE: usize = 64;

/// Makes a folder's entries durable: names that were created, renamed or removed in it.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a new file and makes its content durable. The name becomes durable with [`sync_dir`].
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes these files and folders below `root` durable, and `root` itself.
pub(crate) fn sync_tree<'a>(
    root: &Path,
    files: impl ExactSizeIterator<Item = &'a str>,
    dirs: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    if cfg!(target_os = "linux") && files.len() > SYNC_ONE_BY_ONE {
        return sync_file_system(root);
    }
    for file in files {
        File::open(root.join(file))?.sync_all()?;
    }
    for dir in dirs {
        sync_dir(&root.join(dir))?;
    }
    sync_dir(root)
}

#[cfg(target_os = "linux")]
fn sync_file_system(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(dir: &Path) -> io::Result<()> {
    sync_dir(dir)
}

/// Replaces a file below a folder that need not exist, durably, by one rename. No other file there is named `.half`.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let fresh = !folder.exists();
    fs::create_dir_all(folder)?;
    let half = folder.join(".half");
    remove_any(&half)?;
    write_synced(&half, bytes)?;
    fs::rename(&half, path)?;
    sync_dir(folder)?;
    if fresh {
        for dir in folder.ancestors().skip(1).take(2) {
            sync_dir(dir)?;
        }
    }
    Ok(())
}

/// Swaps two folders of one file system in one step: at no moment is either name missing.
pub(crate) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

/// Removes a file, link or folder; it is fine if there is none.
pub(crate) fn remove_any(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match found {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
