use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use dhow_core::noun::{DeploymentId, Digest};

use super::error::disk_error;
use super::{FILES, MANIFEST, Release, ReleaseError, Releases};
use crate::disk;
use crate::manifest::{Manifest, ServeOptions};
use crate::unpack::{BlockingContent, Content, Limits, run_with_content, unpack_blocking};

impl Releases {
    /// Unpacks a release beside the others, durably. A release that is there and whole is returned as it is, and
    /// the content is not read. (Whole means: no file is missing or has another size. [`Releases::verify`] compares
    /// contents.) One that is damaged is replaced in one step.
    ///
    /// A crash in it, or dropping its future, leaves nothing that has the release's name; doing it again is safe.
    pub async fn prepare(
        &self,
        id: &DeploymentId,
        hash: Digest,
        content: Content,
        options: ServeOptions,
    ) -> Result<Release, ReleaseError> {
        match self.whole(id, hash).await? {
            Some(release) => Ok(release),
            None => self.rebuild(id, hash, content, options).await,
        }
    }

    /// The release, if it is there, its manifest can be read, and no file is missing or has another size. Reads no
    /// file's content. A crash in it changes nothing.
    pub async fn whole(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Release>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| Ok(this.read(&id, hash).ok().flatten().filter(looks_whole))).await
    }

    /// As [`Releases::prepare`], and what is there is replaced in any case: the way back from drift. Requests that
    /// run meanwhile see either the old files or the new ones.
    pub async fn rebuild(
        &self,
        id: &DeploymentId,
        hash: Digest,
        content: Content,
        options: ServeOptions,
    ) -> Result<Release, ReleaseError> {
        let (this, id) = (self.clone(), id.clone());
        run_with_content(content, move |content| this.build(&id, hash, content, options))
            .await
            .unwrap_or_else(|error| Err(ReleaseError::Worker(error.to_string())))
    }

    fn build(
        &self,
        id: &DeploymentId,
        hash: Digest,
        content: BlockingContent,
        options: ServeOptions,
    ) -> Result<Release, ReleaseError> {
        let temporary = self.create_temporary(id, hash)?;
        let built = fill(&temporary, content, options, &self.inner.limits)
            .and_then(|()| put_in_place(&temporary, &self.release_dir(id, hash)));
        // After success this is the replaced release, if there was one; after a failure it is ours.
        let removed = disk::remove_any(&temporary).map_err(disk_error("remove", &temporary));
        built.and(removed)?;
        self.read(id, hash)?.ok_or_else(|| ReleaseError::NotPrepared { deployment: id.clone(), hash })
    }

    fn create_temporary(&self, id: &DeploymentId, hash: Digest) -> Result<PathBuf, ReleaseError> {
        let releases = self.releases_dir(id);
        let temporary = releases.join(format!(".tmp-{}-{}", hash.hex(), self.next()));
        let fresh = {
            let _folders = self.inner.folders.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = !releases.exists();
            fs::create_dir_all(&releases).map_err(disk_error("create", &releases))?;
            fs::create_dir(&temporary).map_err(disk_error("create", &temporary))?;
            fresh
        };
        // Not under the lock: of many that are created at once, one flush of the disk serves several.
        if fresh {
            for dir in releases.ancestors().skip(1).take(3) {
                disk::sync_dir(dir).map_err(disk_error("flush", dir))?;
            }
        }
        Ok(temporary)
    }
}

fn looks_whole(release: &Release) -> bool {
    let files = release.files_dir();
    release.manifest.files.iter().all(|(path, entry)| {
        fs::symlink_metadata(files.join(path)).is_ok_and(|found| found.is_file() && found.len() == entry.size)
    })
}

fn fill(
    dir: &Path,
    content: BlockingContent,
    options: ServeOptions,
    limits: &Limits,
) -> Result<(), ReleaseError> {
    let files_dir = dir.join(FILES);
    fs::create_dir(&files_dir).map_err(disk_error("create", &files_dir))?;
    let files = unpack_blocking(content, &files_dir, limits)?;
    let manifest = Manifest::new(files, options)?;
    let path = dir.join(MANIFEST);
    let json = serde_json::to_vec(&manifest)
        .map_err(|error| ReleaseError::Manifest { path: path.clone(), problem: error.to_string() })?;
    disk::write_synced(&path, &json).map_err(disk_error("write", &path))?;
    disk::sync_dir(dir).map_err(disk_error("flush", dir))
}

/// Gives the whole release its name. Where the name is taken, the two are swapped, so that it never goes missing.
fn put_in_place(temporary: &Path, target: &Path) -> Result<(), ReleaseError> {
    let renamed = match fs::rename(temporary, target) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
        {
            disk::exchange(temporary, target)
        }
        other => other,
    };
    renamed.map_err(disk_error("rename", target))?;
    let parent = target.parent().unwrap_or(target);
    disk::sync_dir(parent).map_err(disk_error("flush", parent))
}
