//! Releases on disk.
//!
//! ```text
//! <root>/<service>/<environment>/current -> releases/<hash>
//! <root>/<service>/<environment>/releases/<hash>/manifest.json
//! <root>/<service>/<environment>/releases/<hash>/release.json    what the target noted of it
//! <root>/<service>/<environment>/releases/<hash>/files/...
//! ```
//!
//! Guarantees: a folder with a release's name is whole and durable; `current` names such a folder or does not
//! exist, and moves in one step. Names that start with `.` are work in progress: invisible, and removed by
//! [`Releases::open`].
//!
//! Assumptions: one process uses a root at a time; of a deployment, service and environment are its place, because
//! a root holds deployments of one type only.
//!
//! Every operation may be repeated, also after a crash in the middle of it.

mod error;
mod live;
mod note;
mod prepare;
mod retire;
mod verify;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dhow_core::noun::{DeploymentId, Digest, EnvironmentName, ServiceName, TargetType};

use crate::disk;
use crate::manifest::{Manifest, SCHEMA};
use crate::unpack::Limits;
pub use error::ReleaseError;
use error::disk_error;
pub use note::Note;
pub use verify::Drift;

const MANIFEST: &str = "manifest.json";
const FILES: &str = "files";
const CURRENT: &str = "current";
const RELEASES: &str = "releases";
/// A manifest of 100,000 files with long paths is below this.
const MAX_MANIFEST: u64 = 256 << 20;

/// A whole release on disk.
#[derive(Debug, Clone)]
pub struct Release {
    /// Whose it is.
    pub deployment: DeploymentId,
    /// The desired hash that it fulfils, and its folder's name.
    pub hash: Digest,
    /// Its files and how they are served.
    pub manifest: Arc<Manifest>,
    dir: PathBuf,
}

impl Release {
    /// The folder of the files. Nothing but [`Releases`] writes there.
    pub fn files_dir(&self) -> PathBuf {
        self.dir.join(FILES)
    }
}

struct Inner {
    root: PathBuf,
    limits: Limits,
    counter: AtomicU64,
    /// Held while a deployment's folders are created, and while they are taken away: only together with the
    /// other are these two not one step each.
    folders: Mutex<()>,
}

/// All releases of all deployments below one root. Cheap to clone.
#[derive(Clone)]
pub struct Releases {
    inner: Arc<Inner>,
}

impl fmt::Debug for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Releases").field(&self.inner.root).finish()
    }
}

impl Releases {
    /// Opens the root, creates it where it is missing, and removes what an interrupted process left unfinished.
    ///
    /// A crash in it leaves some leftovers for the next time.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, ReleaseError> {
        Self::open_with(root, Limits::default()).await
    }

    /// As [`Releases::open`], with other limits for what is unpacked.
    pub async fn open_with(root: impl Into<PathBuf>, limits: Limits) -> Result<Self, ReleaseError> {
        let (counter, folders) = (AtomicU64::new(0), Mutex::new(()));
        let this = Self { inner: Arc::new(Inner { root: root.into(), limits, counter, folders }) };
        this.blocking(|this| {
            let root = &this.inner.root;
            fs::create_dir_all(root).map_err(disk_error("create", root))?;
            this.clean_leftovers()
        })
        .await?;
        Ok(this)
    }

    fn clean_leftovers(&self) -> Result<(), ReleaseError> {
        for service in clean_folder(&self.inner.root)? {
            for deployment in clean_folder(&service)? {
                clean_folder(&deployment)?;
                clean_folder(&deployment.join(RELEASES))?;
            }
        }
        Ok(())
    }

    /// The release, if it is there and whole. A crash in it changes nothing.
    pub async fn find(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Release>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| this.read(&id, hash)).await
    }

    /// The hashes of all whole releases, in the order of their text. A crash in it changes nothing.
    pub async fn list(&self, id: &DeploymentId) -> Result<Vec<Digest>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| this.hashes(&id)).await
    }

    /// Service and environment of every deployment that has a folder. Names that no deployment can have are left out.
    pub(crate) fn deployments(&self) -> Result<Vec<DeploymentId>, ReleaseError> {
        let mut found = Vec::new();
        for service in entries(&self.inner.root)? {
            for environment in entries(&service)? {
                let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
                let parts = name(&service)
                    .and_then(|service| ServiceName::new(service).ok())
                    .zip(name(&environment).and_then(|name| EnvironmentName::new(name).ok()));
                if let Some((service, environment)) = parts {
                    found.push(DeploymentId { service, target: TargetType::StaticFile, environment });
                }
            }
        }
        Ok(found)
    }

    /// The live release with its note, on the calling thread.
    pub(crate) fn live_blocking(
        &self,
        id: &DeploymentId,
    ) -> Result<Option<(Release, Option<Note>)>, ReleaseError> {
        let Some(hash) = self.read_current(id)? else { return Ok(None) };
        match self.read(id, hash)? {
            Some(release) => Ok(Some((release, self.read_note(id, hash)?))),
            None => Err(ReleaseError::NotPrepared { deployment: id.clone(), hash }),
        }
    }

    /// The live release with its note. `None` where nothing is live. A crash in it changes nothing.
    ///
    /// # Errors
    /// What is live is not there, or cannot be read.
    pub async fn live(&self, id: &DeploymentId) -> Result<Option<(Release, Option<Note>)>, ReleaseError> {
        let id = id.clone();
        self.blocking(move |this| this.live_blocking(&id)).await
    }

    fn hashes(&self, id: &DeploymentId) -> Result<Vec<Digest>, ReleaseError> {
        let dir = self.releases_dir(id);
        let mut hashes = Vec::new();
        for path in entries(&dir)? {
            if let Some(hash) = path.file_name().and_then(|name| name.to_str()).and_then(hash_of_name) {
                hashes.push(hash);
            }
        }
        hashes.sort();
        Ok(hashes)
    }

    fn read(&self, id: &DeploymentId, hash: Digest) -> Result<Option<Release>, ReleaseError> {
        let dir = self.release_dir(id, hash);
        let path = dir.join(MANIFEST);
        let damaged = |problem: String| ReleaseError::Manifest { path: path.clone(), problem };
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => return Ok(None),
            Err(error) => return Err(disk_error("read", &path)(error)),
        };
        if size > MAX_MANIFEST {
            return Err(damaged(format!("it has {size} bytes")));
        }
        let bytes = fs::read(&path).map_err(disk_error("read", &path))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.schema > SCHEMA {
            return Err(damaged(format!("its form {} is newer than this program knows", manifest.schema)));
        }
        Ok(Some(Release { deployment: id.clone(), hash, manifest: Arc::new(manifest), dir }))
    }

    fn deployment_dir(&self, id: &DeploymentId) -> PathBuf {
        self.inner.root.join(id.service.as_str()).join(id.environment.as_str())
    }

    fn releases_dir(&self, id: &DeploymentId) -> PathBuf {
        self.deployment_dir(id).join(RELEASES)
    }

    fn release_dir(&self, id: &DeploymentId, hash: Digest) -> PathBuf {
        self.releases_dir(id).join(hash.hex())
    }

    fn next(&self) -> u64 {
        self.inner.counter.fetch_add(1, Ordering::Relaxed)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ReleaseError> + Send + 'static,
    ) -> Result<T, ReleaseError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .unwrap_or_else(|error| Err(ReleaseError::Worker(error.to_string())))
    }
}

fn hash_of_name(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

/// What is in a folder; nothing where there is no folder.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, ReleaseError> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(disk_error("list", dir)(error)),
    };
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(disk_error("list", dir))).collect()
}

/// Removes what is work in progress, gives the rest.
fn clean_folder(dir: &Path) -> Result<Vec<PathBuf>, ReleaseError> {
    let mut kept = Vec::new();
    for path in entries(dir)? {
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            disk::remove_any(&path).map_err(disk_error("remove", &path))?;
        } else {
            kept.push(path);
        }
    }
    Ok(kept)
}
