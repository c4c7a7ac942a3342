use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dhow_core::noun::DeploymentId;
use dhow_core::port::TargetError;

use super::error::blocked_by_disk;
use crate::disk;

/// Remembers the highest epoch that changed each deployment, on disk, so that an older Dhow that wakes up changes
/// nothing. It outlives the deployment's removal.
pub(super) struct Fence {
    root: PathBuf,
    /// Between reading an epoch and writing a higher one nobody else does.
    one_at_a_time: Arc<Mutex<()>>,
}

impl Fence {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, one_at_a_time: Arc::default() }
    }

    /// Lets an epoch in that is no lower than any before, and remembers it durably. A crash in it leaves the old
    /// epoch or the new one.
    ///
    /// # Errors
    /// [`TargetError::Fenced`]: a higher one was here. [`TargetError::Blocked`]: the disk failed.
    pub(super) async fn enter(&self, id: &DeploymentId, epoch: u64) -> Result<(), TargetError> {
        let folder = self.root.join(id.service.as_str());
        let (path, lock) = (folder.join(id.environment.as_str()), self.one_at_a_time.clone());
        let entered = tokio::task::spawn_blocking(move || {
            let _one = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = read(&path)?;
            match seen {
                Some(seen) if seen > epoch => Err(TargetError::Fenced { seen, ours: epoch }),
                Some(seen) if seen == epoch => Ok(()),
                // No environment's name starts with a dot.
                _ => disk::replace(&path, epoch.to_string().as_bytes())
                    .map_err(|error| blocked_by_disk("write", &path, &error, &folder)),
            }
        });
        entered.await.unwrap_or_else(|error| {
            Err(TargetError::Passing(format!("the thread that reads the epoch ended early: {error}")))
        })
    }
}

fn read(path: &Path) -> Result<Option<u64>, TargetError> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            TargetError::Blocked(format!(
                "{} should hold the epoch of the last dhow that worked here, and holds no number; make sure that no \
                 other dhow uses this folder, then remove the file",
                path.display()
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(blocked_by_disk("read", path, &error, path)),
    }
}
