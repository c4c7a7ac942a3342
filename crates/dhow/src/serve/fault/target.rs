//! The target whose effects are points.

use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::{DesiredHash, Probe};
use dhow_core::noun::{DeploymentId, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Front, Hearing, Inside, LogLines, Observed, Place, Process, ReleaseOnPlace,
    RenderInput, Rendered, Settled, Step, Tail, Target, TargetError,
};

use super::Faults;
use super::at::Class;

/// A target that is disturbed.
pub struct Disturbed {
    target: Arc<dyn Target>,
    faults: Faults,
}

impl Disturbed {
    /// Over this target.
    pub fn new(target: Arc<dyn Target>, faults: Faults) -> Self {
        Self { target, faults }
    }
}

fn words(step: &Step, context: &Context) -> String {
    let what = step.key.split_once(':').map_or(&*step.key, |(_, what)| what);
    let server = match &step.place {
        Place::Local => String::new(),
        Place::Server(name) => format!("@{name}"),
    };
    format!("{what}{server} {}", context.rendered.deployment)
}

#[async_trait]
impl Target for Disturbed {
    fn kind(&self) -> TargetType {
        self.target.kind()
    }

    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError> {
        self.target.render(input).await
    }

    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError> {
        self.target.observe(rendered, place).await
    }

    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
        self.target.plan(rendered, hash, place, observed)
    }

    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.faults.pass(Class::Step, words(step, context), self.target.execute(step, context)).await
    }

    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.faults.pass(Class::Undo, words(step, context), self.target.undo(step, context)).await
    }

    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        self.target.settle(step, context).await
    }

    async fn bring(&self, context: &Context) -> Result<(), TargetError> {
        self.target.bring(context).await
    }

    async fn address(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError> {
        self.target.address(rendered, hash, place, front).await
    }

    async fn default_probe(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
    ) -> Result<Option<Probe>, TargetError> {
        self.target.default_probe(rendered, hash).await
    }

    async fn verify(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
    ) -> Result<(), TargetError> {
        self.target.verify(rendered, hash, place).await
    }

    fn host(&self, rendered: &Rendered) -> String {
        self.target.host(rendered)
    }

    async fn releases(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        self.target.releases(deployment, place).await
    }

    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError> {
        let effect = self.target.remove(deployment, place, epoch);
        self.faults.pass(Class::Remove, deployment.to_string(), effect).await
    }

    async fn logs(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        lines: usize,
    ) -> Result<Vec<String>, TargetError> {
        self.target.logs(deployment, place, lines).await
    }

    async fn processes(&self, deployment: &DeploymentId, place: &Place) -> Result<Vec<Process>, TargetError> {
        self.target.processes(deployment, place).await
    }

    async fn follow(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        tail: &Tail,
    ) -> Result<LogLines, TargetError> {
        self.target.follow(deployment, place, tail).await
    }

    async fn exec(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        inside: &Inside,
    ) -> Result<Hearing, TargetError> {
        self.target.exec(deployment, place, inside).await
    }

    async fn drifted(&self) -> DeploymentId {
        self.target.drifted().await
    }
}
