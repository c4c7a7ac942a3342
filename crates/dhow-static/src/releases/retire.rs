use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use dhow_core::noun::{DeploymentId, Digest};

use super::error::disk_error;
use super::{ReleaseError, Releases};
use crate::disk;

impl Releases {
    /// Removes all releases but these and the live one. Gives what was removed.
    ///
    /// A release is first renamed out of sight, so that a crash in it leaves no half release with a whole one's
    /// name; the rest of it goes at the next [`Releases::open`].
    pub async fn prune(&self, id: &DeploymentId, keep: &[Digest]) -> Result<Vec<Digest>, ReleaseError> {
        let (id, keep) = (id.clone(), keep.to_vec());
        self.blocking(move |this| {
            let current = this.read_current(&id)?;
            let mut removed = Vec::new();
            for hash in this.hashes(&id)? {
                if keep.contains(&hash) || current == Some(hash) {
                    continue;
                }
                this.retire(&id, hash)?;
                removed.push(hash);
            }
            Ok(removed)
        })
        .await
    }

    /// Removes one release, unless it is the live one. It is fine if there is none. A crash in it: as in
    /// [`Releases::prune`].
    pub async fn discard(&self, id: &DeploymentId, hash: Digest) -> Result<(), ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| match this.read_current(&id)? {
            Some(current) if current == hash => Ok(()),
            _ => this.retire(&id, hash),
        })
        .await
    }

    fn retire(&self, id: &DeploymentId, hash: Digest) -> Result<(), ReleaseError> {
        let hidden = self.releases_dir(id).join(format!(".old-{}-{}", hash.hex(), self.next()));
        hide_and_remove(&self.release_dir(id, hash), &hidden)
    }

    /// Removes a deployment with all its releases, the live one too. It is fine if there is none.
    ///
    /// A crash in it leaves all of it or nothing of it in sight; doing it again, or opening, finishes it.
    pub async fn remove(&self, id: &DeploymentId) -> Result<(), ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| {
            let _folders = this.inner.folders.lock().unwrap_or_else(PoisonError::into_inner);
            let hidden = this.inner.root.join(format!(".removed-{}", this.next()));
            hide_and_remove(&this.deployment_dir(&id), &hidden)?;
            let service = this.inner.root.join(id.service.as_str());
            match fs::remove_dir(&service) {
                Err(error)
                    if !matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                    ) =>
                {
                    Err(disk_error("remove", &service)(error))
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

fn hide_and_remove(visible: &Path, hidden: &Path) -> Result<(), ReleaseError> {
    match fs::rename(visible, hidden) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(disk_error("rename", visible)(error)),
    }
    for dir in [visible.parent(), hidden.parent()].into_iter().flatten() {
        disk::sync_dir(dir).map_err(disk_error("flush", dir))?;
    }
    disk::remove_any(hidden).map_err(disk_error("remove", hidden))
}
