//! What a process that was killed leaves in the mirror: files that lock references, and that nobody removes any more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A `git` that outlived its Dhow has this time to come to an end of its own.
const GRACE: Duration = Duration::from_millis(500);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);
/// Locks outside of `refs`.
const SINGLE: [&str; 4] = ["HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock"];
/// References lie this deep at most.
const DEPTH: usize = 8;

/// Removes the locks that are left. Only for whoever is alone with the mirror: at its opening. Repeatable.
pub(crate) fn remove_locks(mirror: &Path) -> io::Result<()> {
    let mut locks: Vec<PathBuf> = SINGLE.iter().map(|name| mirror.join(name)).collect();
    find(&mirror.join("refs"), DEPTH, &mut locks)?;
    let begun = Instant::now();
    for lock in locks {
        while lock.exists() && begun.elapsed() < GRACE {
            sleep(LOOK);
        }
        match fs::remove_file(&lock) {
            Ok(()) => tracing::info!(lock = %lock.display(), "a lock that a killed process left was removed"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn find(folder: &Path, depth: usize, locks: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                find(&path, depth - 1, locks)?;
            }
        } else if path.extension().is_some_and(|end| end == "lock") {
            locks.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_go_and_nothing_else_does() {
        let mirror = tempfile::tempdir().unwrap();
        let at = |name: &str| mirror.path().join(name);
        fs::create_dir_all(at("refs/dhow")).unwrap();
        for name in ["refs/dhow/head", "refs/dhow/head.lock", "packed-refs", "packed-refs.lock"] {
            fs::write(at(name), "x").unwrap();
        }
        remove_locks(mirror.path()).unwrap();
        assert!(at("refs/dhow/head").exists() && at("packed-refs").exists());
        assert!(!at("refs/dhow/head.lock").exists() && !at("packed-refs.lock").exists());
        remove_locks(mirror.path()).unwrap();
    }
}
