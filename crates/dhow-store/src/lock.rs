use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use dhow_core::port::StoreError;

use crate::problem::{not_ours, system};

/// How long a lock that is held is waited for: a process that was just killed may have been starting another one, which
/// has the lock's file for the moment before it becomes what it is to be.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);
/// Longest text about a holder that is read.
const HOLDER: u64 = 300;

/// The right to use a state directory: an exclusive lock on its file `lock`, which also says who has it.
///
/// The system frees it when the process ends, however it ends. Dropping it frees it too.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    /// Takes the lock of a directory, made with mode 0700 where there is none. A directory that others may enter is
    /// closed to them, because credentials lie in it, and a warning says so.
    ///
    /// Errors: [`StoreError::Held`] with the holder's words where another process has it, and keeps it for a second;
    /// [`StoreError::Unusable`] where the directory holds something, and no state.
    pub fn acquire(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref();
        if is_of_others(directory) {
            return Err(not_ours(directory));
        }
        close_to_others(directory)?;
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| system(&path, "opened", &e))?;
        match try_for(PATIENCE, || file.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let name = directory.display().to_string();
                return Err(StoreError::Held { name, holder: holder(&file) });
            }
            Err(TryLockError::Error(error)) => return Err(system(&path, "locked", &error)),
        }
        write_holder(&mut file).map_err(|e| system(&path, "written", &e))?;
        Ok(Self { file })
    }

    /// Who holds it, for messages: `process 123 on host since 2026-11-21T10:00:00Z`.
    pub fn me() -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let since = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        format!("process {} on {host} since {since}", std::process::id())
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // The text must not outlive the lock; closing the file frees it in any case.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock file was not emptied");
        }
    }
}

/// Tries to lock until it is had, fails otherwise than because somebody has it, or was held for so long.
fn try_for(
    patience: Duration,
    mut lock: impl FnMut() -> Result<(), TryLockError>,
) -> Result<(), TryLockError> {
    let start = Instant::now();
    loop {
        match lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => thread::sleep(AGAIN),
            ended => return ended,
        }
    }
}

/// What is in a state directory, also where the first `serve` has not been there yet.
const OURS: [&str; 7] = ["dhow.db", "admin.token", "known_hosts", "fleet.git", "static", "registry", "place"];

/// Whether somebody else's files lie there, for others to use: such a directory is not closed to them. What cannot be read is
/// judged when it is used.
fn is_of_others(directory: &Path) -> bool {
    let mode = fs::metadata(directory).map(|found| found.permissions().mode()).unwrap_or_default();
    let Ok(entries) = fs::read_dir(directory) else { return false };
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_lock = || fs::symlink_metadata(directory.join("lock")).is_ok_and(|found| found.is_file());
    let is_ours = |name: &String| OURS.contains(&name.as_str()) || (name == "lock" && is_lock());
    // A home has dot files, the root of a file system has a folder of its own, and settings may have been put there before.
    let is_theirs = |name: &String| {
        !name.starts_with('.') && name != "lost+found" && !name.ends_with(".yaml") && !name.ends_with(".yml")
    };
    mode & 0o077 != 0 && !names.iter().any(is_ours) && names.iter().any(is_theirs)
}

fn close_to_others(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| system(directory, "made", &e))?;
    let found = fs::metadata(directory).map_err(|e| system(directory, "read", &e))?;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let closed = mode & 0o700;
    fs::set_permissions(directory, Permissions::from_mode(closed))
        .map_err(|e| system(directory, "closed to other users (chmod 700)", &e))?;
    let (directory, was, is) = (directory.display(), format!("{mode:o}"), format!("{closed:o}"));
    tracing::warn!(%directory, was, is, "the state directory was open to other users; it is closed to them now");
    Ok(())
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(StateLock::me().as_bytes())
}

fn holder(file: &File) -> String {
    let mut text = String::new();
    match file.take(HOLDER).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "a process that does not say which".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lock_that_is_let_go_a_moment_later_is_taken() {
        let mut tries = 0;
        let taken = try_for(Duration::from_secs(60), || {
            tries += 1;
            if tries < 3 { Err(TryLockError::WouldBlock) } else { Ok(()) }
        });
        assert!(taken.is_ok());
        assert_eq!(tries, 3);
    }

    #[test]
    fn a_lock_that_is_kept_or_cannot_be_had_is_given_up() {
        let kept = try_for(Duration::ZERO, || Err(TryLockError::WouldBlock));
        assert!(matches!(kept, Err(TryLockError::WouldBlock)));
        let mut tries = 0;
        let broken = try_for(Duration::from_secs(60), || {
            tries += 1;
            Err(TryLockError::Error(io::ErrorKind::Unsupported.into()))
        });
        assert!(matches!(broken, Err(TryLockError::Error(_))));
        assert_eq!(tries, 1);
    }
}
