//! The target `compose`: `docker compose` changes things, the Engine API observes.
//!
//! ```text
//! <home>/compose/<environment>/<service>/
//!   releases/<hash>-<spelling>/   files/ as in the fleet, dhow.override.yaml, release.json; never edited
//!   content/<hash>/               what containers mount from the fleet, by content
//!   data/                         relative data folders: all releases share them, nothing removes them
//!   seen/<key>/                   files that Compose was asked about
//!   current.json, data.json, project
//! ```

mod apply;
mod beside;
mod body;
mod disk;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod gap;
mod hashes;
mod isolate;
mod judge;
mod model;
mod observe;
mod plain;
mod plan;
mod ports;
mod pull;
mod releases;
mod remove;
mod render;
mod room;
mod route;
mod routes;
mod same;
mod send;
mod shared;
pub(crate) mod site;
mod spelling;
mod strategy;
mod switch;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Executors, Front, Hearing, Inside, LogLines, Observed, Place, Process,
    ReleaseOnPlace, RenderInput, Rendered, Settled, Step, Tail, Target, TargetError,
};

pub use crate::engine::login::{Anonymous, Login, Logins};
pub use disk::DiskLimits;
pub use routes::{Instance, Noted, Prepared, RouteChange, RouteEnd, Routes, Unrouted};

use crate::engine::watch::{Hear, Watch, Whose};
use crate::engine::{api, cache, diagnose, error};
use crate::files::{content, path, walk, which};
use site::Site;

/// What the engine is asked to tell of containers: they carry the project's label.
const HEAR: Hear = Hear {
    types: &["container"],
    events: &["die", "destroy", "oom", "pause", "health_status", "start"],
    whose: |_, attributes| {
        attributes
            .get("com.docker.compose.project")
            .map_or(Whose::Nobody, |project| Whose::Project(project.clone()))
    },
};

/// How Compose deployments are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's socket at each server.
    pub socket: String,
    /// The engine's socket on this machine.
    pub local_socket: String,
    /// `DOCKER_CONFIG` at each place; none: the user's own.
    pub docker_config: Option<String>,
    /// How long a release must stay up before it counts as running.
    pub stable: Duration,
    /// How long containers may take until they are healthy.
    pub start: Duration,
    /// `build:` is allowed: images are built where they run.
    pub allow_build: bool,
    /// How full disks may get.
    pub disk: DiskLimits,
}

/// Where an engine's socket usually is.
const SOCKET: &str = "/var/run/docker.sock";

impl Options {
    /// The engine's socket at a place.
    pub(crate) fn socket_at(&self, place: &Place) -> &str {
        match place {
            Place::Local => &self.local_socket,
            Place::Server(_) => &self.socket,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            socket: SOCKET.to_owned(),
            local_socket: SOCKET.to_owned(),
            docker_config: None,
            stable: Duration::from_secs(10),
            start: Duration::from_secs(60),
            allow_build: false,
            disk: DiskLimits::default(),
        }
    }
}

/// The target `compose`.
///
/// *Assumptions*: one rollout at a time per deployment; at each place there is `docker` with the plugin `compose` 2.
/// *Guarantees*: images are there before anything is stopped; what runs as wanted is never recreated; only containers,
/// networks and images of the deployment's own project and releases are touched; volumes and data folders stay.
pub struct ComposeTarget {
    executors: Arc<dyn Executors>,
    routes: Arc<dyn Routes>,
    logins: Arc<dyn Logins>,
    options: Options,
    watch: Watch,
    answers: cache::Cache,
}

impl ComposeTarget {
    /// A target that runs commands by these executors. Changes nothing yet.
    pub fn new(
        executors: Arc<dyn Executors>,
        routes: Arc<dyn Routes>,
        logins: Arc<dyn Logins>,
        options: Options,
    ) -> Self {
        let watch = Watch::new(Arc::clone(&executors), options.clone(), HEAR);
        Self { executors, routes, logins, options, watch, answers: cache::Cache::default() }
    }

    async fn site(&self, deployment: &DeploymentId, place: &Place) -> Result<Site, TargetError> {
        let executor = self.executors.at(place).await.map_err(error::executor)?;
        Site::new(executor, deployment, &self.options).await
    }
}

#[async_trait]
impl Target for ComposeTarget {
    fn kind(&self) -> TargetType {
        TargetType::Compose
    }

    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError> {
        let read = tokio::task::spawn_blocking(move || render::render(&input)).await;
        read.map_err(|error| {
            TargetError::Passing(format!("the thread that reads the fleet ended early: {error}"))
        })?
    }

    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError> {
        self.observe_at(rendered, place).await
    }

    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
        plan::plan(rendered, hash, place, observed)
    }

    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.execute_at(step, context).await
    }

    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.undo_at(step, context).await
    }

    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        self.settle_at(step, context).await
    }

    async fn address(
        &self,
        rendered: &Rendered,
        _: &DesiredHash,
        place: &Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError> {
        self.address_at(rendered, place, front).await
    }

    async fn verify(&self, rendered: &Rendered, _: &DesiredHash, place: &Place) -> Result<(), TargetError> {
        self.verify_at(rendered, place).await
    }

    fn host(&self, rendered: &Rendered) -> String {
        let route = body::Body::of(rendered).ok().and_then(|body| body.route);
        let id = &rendered.deployment;
        route.map_or_else(|| format!("{}.{}.localhost", id.service, id.environment), |route| route.host)
    }

    async fn releases(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        releases::list(&self.site(deployment, place).await?).await
    }

    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError> {
        self.remove_at(deployment, place, epoch).await
    }

    async fn logs(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        lines: usize,
    ) -> Result<Vec<String>, TargetError> {
        let site = self.site(deployment, place).await?;
        let Some(project) = remove::project(&site).await? else { return Ok(Vec::new()) };
        let lines = lines.to_string();
        let command = site.compose(&project, None, ["logs", "--no-color", "--tail", lines.as_str()]);
        let output = site.run(&command).await?;
        if !output.ok() {
            return Err(error::docker("reading the logs", &output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    async fn processes(&self, deployment: &DeploymentId, place: &Place) -> Result<Vec<Process>, TargetError> {
        crate::room::processes(self.room(deployment, place).await?).await
    }

    async fn follow(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        tail: &Tail,
    ) -> Result<LogLines, TargetError> {
        crate::room::follow(self.room(deployment, place).await?, tail).await
    }

    async fn exec(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        inside: &Inside,
    ) -> Result<Hearing, TargetError> {
        crate::room::exec(self.room(deployment, place).await?, deployment, inside).await
    }

    async fn drifted(&self) -> DeploymentId {
        self.watch.next().await
    }
}
