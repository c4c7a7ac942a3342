//! The folder of a connection's sockets: short, ours alone, and swept away when its Dhow was killed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "dhow-ssh-";
/// A file that is locked as long as the folder is in use.
const HELD: &str = "held";
/// Longest path of the folder's parent: a socket's whole name has about 100 bytes.
const MOST_PARENT: usize = 40;

/// A folder that goes with its value.
pub(super) struct Folder {
    folder: TempDir,
    _held: File,
}

impl Folder {
    /// A new one, below the folder for temporary files. Those of killed ones are removed.
    pub(super) fn new() -> io::Result<Self> {
        let usual = std::env::temp_dir();
        let parent = if usual.as_os_str().len() > MOST_PARENT { Path::new("/tmp") } else { &usual };
        sweep(parent);
        Self::below(parent)
    }

    fn below(parent: &Path) -> io::Result<Self> {
        // Made with 0700.
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let new = folder.path().join("new");
        let held = File::create(&new)?;
        held.lock()?;
        // Under its name it is never seen unlocked.
        fs::rename(new, folder.path().join(HELD))?;
        Ok(Self { folder, _held: held })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders that nobody holds. What cannot be removed is another user's, or goes another time.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        if let Ok(held) = File::open(entry.path().join(HELD))
            && held.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::debug!(%error, "{} stays", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_holds_is_swept_away_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let (live, dead) = (Folder::below(parent.path()).unwrap(), Folder::below(parent.path()).unwrap());
        // As after a kill: the lock is gone, the folder is there.
        let Folder { folder, _held } = dead;
        let left = folder.keep();
        drop(_held);
        let starting = parent.path().join("dhow-ssh-starting");
        fs::create_dir(&starting).unwrap();
        sweep(parent.path());
        assert!(live.path().exists() && starting.exists() && !left.exists());
    }
}
