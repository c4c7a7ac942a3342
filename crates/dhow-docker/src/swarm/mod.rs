//! The target `swarm`: `docker stack deploy` changes things, a manager's API observes.
//!
//! ```text
//! <home>/swarm/<environment>/<service>/
//!   releases/<hash>-<spelling>/   files/ as in the fleet, stack.json that is deployed, release.json; never edited
//!   content/<hash>/               what configs and secrets are made of and containers mount, by content
//!   data/                         relative data folders: all releases share them, nothing removes them
//!   seen/<key>/                   files that Docker was asked about
//!   current.json, data.json, tasks.json, stack
//! ```

mod address;
mod api;
mod apply;
mod body;
mod compare;
mod constraints;
mod converge;
mod deploy;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod images;
mod ipvs;
mod judge;
mod model;
mod notes;
mod observe;
mod plan;
mod releases;
mod remove;
mod render;
mod room;
mod spelling;
mod trouble;

use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Executors, Front, Hearing, Inside, LogLines, Observed, Place, Process,
    ReleaseOnPlace, RenderInput, Rendered, Settled, Step, Tail, Target, TargetError,
};

use crate::compose::Options;
use crate::compose::site::Site;
use crate::engine::cache::Cache;
use crate::engine::error;
use crate::engine::login::Logins;
use crate::engine::watch::{Hear, Watch, Whose};

/// What the engine of a manager is asked to tell: of its own containers, of services by their names, and of nodes.
const HEAR: Hear = Hear {
    types: &["container", "service", "node"],
    events: &["die", "oom", "health_status", "update", "remove"],
    whose: |kind, attributes| match kind {
        "node" => Whose::All,
        "service" => attributes.get("name").map_or(Whose::Nobody, |name| Whose::Within(name.clone())),
        _ => attributes
            .get("com.docker.stack.namespace")
            .map_or(Whose::Nobody, |stack| Whose::Project(stack.clone())),
    },
};

/// The target `swarm`.
///
/// *Assumptions*: one rollout at a time per deployment; each place is a manager, with `docker` 25 or newer.
/// *Guarantees*: images are looked for before anything is changed; a rollout is done when the swarm reports every task
/// of the wanted version running, never because a command ended well; only what carries the stack's label is touched;
/// volumes and data folders stay.
pub struct SwarmTarget {
    executors: Arc<dyn Executors>,
    logins: Arc<dyn Logins>,
    options: Options,
    watch: Watch,
    answers: Cache,
}

impl SwarmTarget {
    /// A target that runs commands by these executors. Changes nothing yet. Of the options, `start` is how long nothing
    /// may move while the swarm converges (pulls may take longer), and `allow_build` is not for stacks.
    pub fn new(executors: Arc<dyn Executors>, logins: Arc<dyn Logins>, options: Options) -> Self {
        let watch = Watch::new(Arc::clone(&executors), options.clone(), HEAR);
        Self { executors, logins, options, watch, answers: Cache::default() }
    }

    async fn site(&self, deployment: &DeploymentId, place: &Place) -> Result<Site, TargetError> {
        let executor = self.executors.at(place).await.map_err(error::executor)?;
        Site::new(executor, deployment, &self.options).await
    }
}

#[async_trait]
impl Target for SwarmTarget {
    fn kind(&self) -> TargetType {
        TargetType::Swarm
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
        self.logs_at(deployment, place, lines).await
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
