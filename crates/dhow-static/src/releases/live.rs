use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use dhow_core::noun::{DeploymentId, Digest};

use super::error::disk_error;
use super::{CURRENT, RELEASES, ReleaseError, Releases, hash_of_name};
use crate::disk;

impl Releases {
    /// The release that is live on disk. `None` where nothing is. A crash in it changes nothing.
    ///
    /// # Errors
    /// Something stands at the link's place that this program did not write.
    pub async fn current(&self, id: &DeploymentId) -> Result<Option<Digest>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| this.read_current(&id)).await
    }

    /// Makes a prepared release the live one, in one step, durably. Gives the one that was live before; the same
    /// hash again changes nothing and gives that hash.
    ///
    /// A crash in it leaves the old one or the new one live, never none; [`Releases::current`] says which.
    ///
    /// # Errors
    /// The release is not prepared: nothing changes.
    pub async fn switch(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Digest>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| {
            if this.read(&id, hash)?.is_none() {
                return Err(ReleaseError::NotPrepared { deployment: id, hash });
            }
            let previous = this.read_current(&id)?;
            if previous != Some(hash) {
                this.write_current(&id, hash)?;
            }
            Ok(previous)
        })
        .await
    }

    /// Makes no release live, durably: what was so before the first one. The releases stay. It is fine if none is.
    ///
    /// # Errors
    /// Something stands at the link's place that this program did not write: it is left alone.
    pub async fn clear_current(&self, id: &DeploymentId) -> Result<(), ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| {
            if this.read_current(&id)?.is_none() {
                return Ok(());
            }
            let dir = this.deployment_dir(&id);
            let current = dir.join(CURRENT);
            disk::remove_any(&current).map_err(disk_error("remove", &current))?;
            disk::sync_dir(&dir).map_err(disk_error("flush", &dir))
        })
        .await
    }

    fn write_current(&self, id: &DeploymentId, hash: Digest) -> Result<(), ReleaseError> {
        let dir = self.deployment_dir(id);
        let temporary = dir.join(format!(".{CURRENT}-{}", self.next()));
        symlink(Path::new(RELEASES).join(hash.hex()), &temporary)
            .map_err(disk_error("create", &temporary))?;
        let current = dir.join(CURRENT);
        fs::rename(&temporary, &current).map_err(disk_error("rename", &current))?;
        disk::sync_dir(&dir).map_err(disk_error("flush", &dir))
    }

    pub(super) fn read_current(&self, id: &DeploymentId) -> Result<Option<Digest>, ReleaseError> {
        let path = self.deployment_dir(id).join(CURRENT);
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(ReleaseError::ForeignCurrent { path });
            }
            Err(error) => return Err(disk_error("read", &path)(error)),
        };
        let name = target.strip_prefix(RELEASES).ok().and_then(Path::to_str);
        match name.and_then(hash_of_name) {
            Some(hash) => Ok(Some(hash)),
            None => Err(ReleaseError::ForeignCurrent { path }),
        }
    }
}
