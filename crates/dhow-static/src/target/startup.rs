use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dhow_core::noun::DeploymentId;
use dhow_core::port::TargetError;

use super::StaticTarget;
use super::error::release_error;
use crate::releases::{ReleaseError, Releases};
use crate::web::{LiveRelease, Resources, Sites};

/// Reading manifests waits for the disk as much as for the processor.
const MAX_THREADS: usize = 8;

impl StaticTarget {
    /// Serves what is live on disk, read by several threads.
    pub(super) async fn serve_all(&self) -> Result<(), TargetError> {
        let (releases, sites, resources) =
            (self.releases.clone(), self.sites.clone(), self.resources.clone());
        tokio::task::spawn_blocking(move || serve_all(&releases, &sites, &resources))
            .await
            .unwrap_or_else(|error| Err(ReleaseError::Worker(error.to_string())))
            .map_err(|error| release_error(error, &self.sites_dir))
    }
}

fn serve_all(releases: &Releases, sites: &Sites, resources: &Arc<Resources>) -> Result<(), ReleaseError> {
    let deployments = releases.deployments()?;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(id) = deployments.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(problem) = serve(releases, sites, resources, id) {
                tracing::warn!(deployment = %id, problem, "a site is not served until it was looked at and mended");
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(1, MAX_THREADS);
    thread::scope(|scope| {
        for _ in 1..threads.min(deployments.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    Ok(())
}

/// Hosts that another deployment has by now are left out; the next rollout tells whose they are.
fn serve(
    releases: &Releases,
    sites: &Sites,
    resources: &Arc<Resources>,
    id: &DeploymentId,
) -> Result<(), String> {
    let Some((release, note)) = releases.live_blocking(id).map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let refused = sites.set_hosts(id, &note.unwrap_or_default().hosts).err();
    sites.set_live(LiveRelease::new(&release, resources)).map_err(|error| error.to_string())?;
    match refused {
        Some(error) => Err(format!("{error}. It is served for {} only", Sites::default_host(id))),
        None => Ok(()),
    }
}
