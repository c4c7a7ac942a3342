use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dhow_core::noun::{DeploymentId, Digest};

use super::encoding::Encoding;
use super::file::{CacheHeaders, File};
use super::resources::{Resources, Share};
use crate::releases::Release;

/// A release that can answer requests: its manifest, prepared for the web, and its small files in memory after they
/// were asked for once. It never changes; running requests keep it alive.
///
/// Assumption: its folder stays until no request needs it. [`crate::Releases::prune`] keeps the live one; a request
/// that meets a pruned folder all the same is answered with status 500.
pub struct LiveRelease {
    deployment: DeploymentId,
    hash: Digest,
    pub(super) dir: PathBuf,
    files: Vec<File>,
    pub(super) not_found: Option<usize>,
    pub(super) fallback: Option<usize>,
    pub(super) share: Share,
}

impl fmt::Debug for LiveRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveRelease({} {})", self.deployment, self.hash.short())
    }
}

impl LiveRelease {
    /// Makes a release ready to be served. Reads no file.
    pub fn new(release: &Release, resources: &Arc<Resources>) -> Arc<Self> {
        let options = &release.manifest.options;
        let cache = CacheHeaders::new(&options.cache);
        // In the manifest's order, which is that of `find`.
        let files =
            release.manifest.files.iter().map(|(path, entry)| File::new(path, *entry, &cache)).collect();
        let mut live = Self {
            deployment: release.deployment.clone(),
            hash: release.hash,
            dir: release.files_dir(),
            files,
            not_found: None,
            fallback: None,
            share: Share::new(resources.clone()),
        };
        live.link_packed();
        live.not_found = live.find(options.not_found.as_deref().unwrap_or("404.html"));
        live.fallback = options.fallback.as_deref().and_then(|path| live.find(path));
        Arc::new(live)
    }

    fn link_packed(&mut self) {
        for index in 0..self.files.len() {
            let path = &self.files[index].path;
            let of = Encoding::ALL.into_iter().find_map(|encoding| {
                let plain = path.strip_suffix(encoding.ending())?;
                Some((encoding, self.find(plain)?))
            });
            if let Some((encoding, plain)) = of {
                self.files[plain].packed.push((encoding, index));
            }
        }
    }

    /// Whose release it is.
    pub fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    /// The desired hash that it fulfils.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| (*file.path).cmp(path)).ok()
    }

    pub(super) fn file(&self, index: usize) -> &File {
        &self.files[index]
    }
}
