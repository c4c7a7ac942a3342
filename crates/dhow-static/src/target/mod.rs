//! The target `static_file`: rollouts of releases, on this machine and on servers.
//!
//! Flow of a rollout: *unpack* the release beside the others, serve it as a *candidate* on a private socket, *switch*
//! the link and then the table of sites, *prune*. A release that is live but damaged or not served is *mended* in
//! place; where only the hosts differ, only they are set.
//!
//! On a server the release is unpacked here, where its candidate is served, then *sent* there and compared by hashes; the
//! *switch* moves a link there, and the server's own web server serves what it leads to.
//!
//! Guarantees: those of [`Target`]. The disk is the truth and the table of sites follows it: after a crash
//! [`StaticTarget::open`] serves what `current` names.
//!
//! ```text
//! <root>/sites/...                             the releases that are served here
//! <root>/copies/...                            the releases that were sent to servers
//! <root>/places/<service>/<environment>        the servers that may have files of the deployment
//! <root>/epochs/<service>/<environment>        the highest epoch that changed the deployment
//! ```

mod body;
mod content;
mod error;
mod fence;
mod observe;
mod plan;
mod render;
mod retreat;
mod spread;
mod startup;
mod steps;
mod there;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::{DesiredHash, Probe};
use dhow_core::noun::{DeploymentId, Digest, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Executors, Front, Observed, Place, ReleaseOnPlace, RenderInput, Rendered, Settled,
    Step, Target, TargetError,
};
use tokio::sync::Mutex;

use crate::candidate::Candidate;
use crate::releases::Releases;
use crate::web::{Resources, Sites};
use error::{blocked_by_disk, release_error};
use fence::Fence;
use spread::Spread;

/// What a [`StaticTarget`] works with.
pub struct StaticTargetConfig {
    /// Folder of the releases and epochs. One process uses it at a time.
    pub root: PathBuf,
    /// Folder of the candidates' sockets. Its path must be short: a socket's has at most 100 bytes.
    pub candidates: PathBuf,
    /// The table that the web server answers from.
    pub sites: Sites,
    /// Where that web server listens.
    pub sites_address: SocketAddr,
    /// What it may take of this machine.
    pub resources: Resources,
    /// The ways to the fleet's servers.
    pub executors: Arc<dyn Executors>,
}

/// Rolls out deployments of the type `static_file`, on this machine and on servers.
pub struct StaticTarget {
    releases: Releases,
    copies: Releases,
    executors: Arc<dyn Executors>,
    spread: Spread,
    /// One at a time unpacks for a deployment.
    unpacking: Mutex<HashMap<DeploymentId, Arc<Mutex<()>>>>,
    sites_dir: PathBuf,
    resources: Arc<Resources>,
    sites: Sites,
    sites_address: SocketAddr,
    candidates_dir: PathBuf,
    /// At most one candidate per deployment, because one rollout of it runs at a time.
    candidates: Mutex<HashMap<DeploymentId, (Digest, Candidate)>>,
    fence: Fence,
}

impl fmt::Debug for StaticTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StaticTarget").field(&self.releases).finish()
    }
}

impl StaticTarget {
    /// Opens the releases, tidies up behind a crashed process, and serves what is live on disk. A deployment that
    /// cannot be served is told in the log and does not stop the others; its rollout mends it.
    ///
    /// A crash in it changes nothing that the next opening would not do.
    ///
    /// # Errors
    /// [`TargetError::Blocked`]: a folder cannot be created or read.
    pub async fn open(config: StaticTargetConfig) -> Result<Self, TargetError> {
        let sites_dir = config.root.join("sites");
        let releases = Releases::open(&sites_dir).await.map_err(|error| release_error(error, &sites_dir))?;
        let copies_dir = config.root.join("copies");
        let copies = Releases::open(&copies_dir).await.map_err(|error| release_error(error, &copies_dir))?;
        Candidate::clean(&config.candidates)
            .map_err(|error| blocked_by_disk("clean", &config.candidates, &error, &config.candidates))?;
        let target = Self {
            releases,
            copies,
            executors: config.executors,
            spread: Spread::new(config.root.join("places")),
            unpacking: Mutex::default(),
            sites_dir,
            resources: Arc::new(config.resources),
            sites: config.sites,
            sites_address: config.sites_address,
            candidates_dir: config.candidates,
            candidates: Mutex::default(),
            fence: Fence::new(config.root.join("epochs")),
        };
        target.serve_all().await?;
        Ok(target)
    }

    /// The releases, for pages that list their files. Nothing but the target changes them.
    pub fn store(&self) -> &Releases {
        &self.releases
    }

    fn failed(&self, error: crate::ReleaseError) -> TargetError {
        release_error(error, &self.sites_dir)
    }
}

#[async_trait]
impl Target for StaticTarget {
    fn kind(&self) -> TargetType {
        TargetType::StaticFile
    }

    /// Here, files are written and nothing is started: what limits it is the time in which checks wait.
    fn creations(&self, place: &Place) -> usize {
        match place {
            Place::Local => 128,
            Place::Server(_) => 4,
        }
    }

    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError> {
        render::render(input)
    }

    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError> {
        match place {
            Place::Local => self.observe_here(&rendered.deployment).await,
            Place::Server(_) => self.observe_there(rendered, place).await,
        }
    }

    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
        plan::plan(rendered, hash, place, observed)
    }

    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.fence.enter(&context.rendered.deployment, context.epoch).await?;
        match step.place {
            Place::Local => self.execute_here(step, context).await,
            Place::Server(_) => self.execute_there(step, context).await,
        }
    }

    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.fence.enter(&context.rendered.deployment, context.epoch).await?;
        match step.place {
            Place::Local => self.undo_here(step, context).await,
            Place::Server(_) => self.undo_there(step, context).await,
        }
    }

    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        match step.place {
            Place::Local => self.settle_here(step, context).await,
            Place::Server(_) => self.settle_there(step, context).await,
        }
    }

    async fn bring(&self, context: &Context) -> Result<(), TargetError> {
        for place in &context.rendered.places {
            match place {
                Place::Local => self.unpack(context, body::digest(&context.hash)?).await?,
                Place::Server(_) => self.bring_there(context, place).await?,
            }
        }
        Ok(())
    }

    async fn address(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError> {
        match (front, place) {
            (Front::Door, Place::Local) => Ok(CheckAddress::Tcp(self.sites_address)),
            (Front::Door, Place::Server(_)) => self.door_there(rendered, place).await,
            (Front::Candidate, _) => {
                self.candidate(rendered, body::digest(hash)?).await.map(CheckAddress::Unix)
            }
        }
    }

    fn host(&self, rendered: &Rendered) -> String {
        let first = body::Body::of(rendered).ok().and_then(|body| body.hosts.into_iter().next());
        first.unwrap_or_else(|| Sites::default_host(&rendered.deployment))
    }

    async fn default_probe(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
    ) -> Result<Option<Probe>, TargetError> {
        self.index_probe(rendered, hash).await
    }

    async fn verify(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
    ) -> Result<(), TargetError> {
        match place {
            Place::Local => self.verify_here(&rendered.deployment, body::digest(hash)?).await,
            Place::Server(_) => self.verify_there(rendered, hash, place).await,
        }
    }

    async fn releases(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        if matches!(place, Place::Server(_)) {
            return self.releases_there(deployment, place).await;
        }
        let current = self.releases.current(deployment).await.map_err(|error| self.failed(error))?;
        let all = self.releases.list(deployment).await.map_err(|error| self.failed(error))?;
        let found = all.into_iter().filter_map(|digest| {
            Some(ReleaseOnPlace { hash: body::hash(digest)?, current: current == Some(digest) })
        });
        Ok(found.collect())
    }

    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError> {
        self.fence.enter(deployment, epoch).await?;
        match place {
            Place::Local => self.remove_here(deployment).await,
            Place::Server(_) => self.remove_there(deployment, place, epoch).await,
        }
    }

    /// Static files have no log of their own.
    async fn logs(&self, _: &DeploymentId, _: &Place, _: usize) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }

    /// The disk tells nothing; drift is found when it is looked for.
    async fn drifted(&self) -> DeploymentId {
        std::future::pending().await
    }
}
