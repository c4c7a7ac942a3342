use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use async_trait::async_trait;
use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, Digest, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Front, Observed, Phase, Place, ReleaseOnPlace, RenderInput, Rendered, Settled,
    Step, Target, TargetError,
};
use serde_json::json;
use tokio::sync::Notify;

use crate::locked;

/// A target in memory: releases are brought, switched to and pruned in a world of values.
pub struct MemoryTarget {
    kind: TargetType,
    state: Mutex<State>,
    drift: Notify,
}

#[derive(Default)]
struct State {
    worlds: BTreeMap<(DeploymentId, Place), World>,
    executed: Vec<(DeploymentId, String)>,
    undone: Vec<(DeploymentId, String)>,
    faults: Vec<Fault>,
    addresses: BTreeMap<DeploymentId, CheckAddress>,
    drifted: VecDeque<DeploymentId>,
}

/// Steps that fail.
struct Fault {
    deployment: Option<DeploymentId>,
    place: Option<Place>,
    phase: Phase,
    undo: bool,
    error: TargetError,
}

#[derive(Default)]
struct World {
    releases: BTreeMap<DesiredHash, BTreeSet<Digest>>,
    current: Option<DesiredHash>,
    epoch: u64,
}

impl MemoryTarget {
    /// A target of this type, with nothing deployed.
    pub fn new(kind: TargetType) -> Self {
        Self { kind, state: Mutex::default(), drift: Notify::new() }
    }

    /// Every step of this phase fails so, of one deployment or of all, until [`MemoryTarget::heal`].
    pub fn fail_in(&self, deployment: Option<DeploymentId>, phase: Phase, error: TargetError) {
        locked(&self.state).faults.push(Fault { deployment, place: None, phase, undo: false, error });
    }

    /// Every step of this phase fails so at a place, until [`MemoryTarget::heal`].
    pub fn fail_at(&self, place: Place, phase: Phase, error: TargetError) {
        let fault = Fault { deployment: None, place: Some(place), phase, undo: false, error };
        locked(&self.state).faults.push(fault);
    }

    /// Every step of this phase fails so to be undone at a place, until [`MemoryTarget::heal`].
    pub fn fail_undo_at(&self, place: Place, phase: Phase, error: TargetError) {
        let fault = Fault { deployment: None, place: Some(place), phase, undo: true, error };
        locked(&self.state).faults.push(fault);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        locked(&self.state).faults.clear();
    }

    /// The release that visitors see.
    pub fn current(&self, deployment: &DeploymentId, place: &Place) -> Option<DesiredHash> {
        locked(&self.state).worlds.get(&(deployment.clone(), place.clone()))?.current
    }

    /// Keys of the steps that were executed, in order, repetitions too.
    pub fn executed(&self) -> Vec<(DeploymentId, String)> {
        locked(&self.state).executed.clone()
    }

    /// Keys of the steps that were undone, in order.
    pub fn undone(&self) -> Vec<(DeploymentId, String)> {
        locked(&self.state).undone.clone()
    }

    /// Where checks of a deployment connect to.
    pub fn serve_at(&self, deployment: DeploymentId, address: CheckAddress) {
        locked(&self.state).addresses.insert(deployment, address);
    }

    /// The engine says that something changed, whether it did or not.
    pub fn nudge(&self, deployment: &DeploymentId) {
        locked(&self.state).drifted.push_back(deployment.clone());
        self.drift.notify_one();
    }

    /// Somebody stops a deployment behind our back.
    pub fn stop_by_hand(&self, deployment: &DeploymentId, place: &Place) {
        let mut state = locked(&self.state);
        state.worlds.entry((deployment.clone(), place.clone())).or_default().current = None;
        state.drifted.push_back(deployment.clone());
        self.drift.notify_one();
    }
}

impl Fault {
    fn meets(&self, id: &DeploymentId, step: &Step, undo: bool) -> bool {
        self.undo == undo
            && self.phase == step.phase
            && self.deployment.as_ref().is_none_or(|of| of == id)
            && self.place.as_ref().is_none_or(|at| *at == step.place)
    }
}

impl State {
    fn enter(&mut self, id: &DeploymentId, place: &Place, epoch: u64) -> Result<&mut World, TargetError> {
        let world = self.worlds.entry((id.clone(), place.clone())).or_default();
        if world.epoch > epoch {
            return Err(TargetError::Fenced { seen: world.epoch, ours: epoch });
        }
        world.epoch = epoch;
        Ok(world)
    }
}

/// The release that a switch replaces, as the plan saw it.
fn before(step: &Step) -> Option<DesiredHash> {
    step.action.get("from").and_then(|from| from.as_str()).and_then(|from| from.parse().ok())
}

#[async_trait]
impl Target for MemoryTarget {
    fn kind(&self) -> TargetType {
        self.kind
    }

    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError> {
        let deployment = &input.deployment;
        let mut reads = [deployment.files.clone(), deployment.dependencies.clone()].concat();
        reads.sort();
        reads.dedup();
        Ok(Rendered {
            deployment: deployment.id.clone(),
            places: deployment.places(),
            pins: input.pins,
            reads,
            fleet_files: Vec::new(),
            body: json!({}),
            notes: Vec::new(),
        })
    }

    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError> {
        let state = locked(&self.state);
        let world = state.worlds.get(&(rendered.deployment.clone(), place.clone()));
        let release = world.and_then(|w| w.current);
        let running = world
            .zip(release.as_ref())
            .and_then(|(w, hash)| w.releases.get(hash).cloned())
            .unwrap_or_default();
        let have: Vec<String> =
            world.map(|w| w.releases.keys().map(ToString::to_string).collect()).unwrap_or_default();
        Ok(Observed { present: release.is_some(), release, running, body: json!({ "releases": have }) })
    }

    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
        if observed.release.as_ref() == Some(hash) {
            return Vec::new();
        }
        let have =
            observed.body["releases"].as_array().is_some_and(|r| r.iter().any(|r| *r == hash.to_string()));
        let id = &rendered.deployment;
        let from = observed.release.as_ref().map(ToString::to_string);
        let step = |name: &str, phase| Step {
            key: format!("{name}:{id}:{}", hash.short()),
            phase,
            place: place.clone(),
            summary: format!("{name} {} of {id}", hash.short()),
            action: json!({ "name": name, "from": from }),
        };
        let mut steps = Vec::new();
        if !have {
            steps.push(step("bring", Phase::Preparing));
        }
        steps.extend([
            step("start", Phase::Checking),
            step("switch", Phase::Switching),
            step("look", Phase::Verifying),
            step("prune", Phase::Finishing),
        ]);
        steps
    }

    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let mut state = locked(&self.state);
        let id = &context.rendered.deployment;
        state.enter(id, &step.place, context.epoch)?;
        state.executed.push((id.clone(), step.key.clone()));
        if let Some(fault) = state.faults.iter().find(|fault| fault.meets(id, step, false)) {
            return Err(fault.error.clone());
        }
        let world = state.enter(id, &step.place, context.epoch)?;
        match step.phase {
            Phase::Preparing => {
                let digests = context.rendered.pins.values().map(|pin| pin.digest).collect();
                world.releases.insert(context.hash, digests);
            }
            Phase::Switching if !world.releases.contains_key(&context.hash) => {
                return Err(TargetError::Failed(format!("release {} was not brought", context.hash.short())));
            }
            Phase::Switching => world.current = Some(context.hash),
            Phase::Checking | Phase::Verifying | Phase::Finishing => {}
        }
        Ok(())
    }

    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let mut state = locked(&self.state);
        let id = &context.rendered.deployment;
        state.enter(id, &step.place, context.epoch)?;
        if let Some(fault) = state.faults.iter().find(|fault| fault.meets(id, step, true)) {
            return Err(fault.error.clone());
        }
        state.undone.push((id.clone(), step.key.clone()));
        let world = state.enter(id, &step.place, context.epoch)?;
        let current = world.current.as_ref() == Some(&context.hash);
        match step.phase {
            Phase::Preparing if !current => drop(world.releases.remove(&context.hash)),
            Phase::Switching if current => world.current = before(step),
            _ => {}
        }
        Ok(())
    }

    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let state = locked(&self.state);
        let world = state.worlds.get(&(context.rendered.deployment.clone(), step.place.clone()));
        let done = match step.phase {
            Phase::Preparing => world.is_some_and(|w| w.releases.contains_key(&context.hash)),
            Phase::Switching => world.is_some_and(|w| w.current.as_ref() == Some(&context.hash)),
            Phase::Checking | Phase::Verifying | Phase::Finishing => return Ok(Settled::Unknown),
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    async fn address(
        &self,
        rendered: &Rendered,
        _: &DesiredHash,
        _: &Place,
        _: Front,
    ) -> Result<CheckAddress, TargetError> {
        let given = locked(&self.state).addresses.get(&rendered.deployment).cloned();
        Ok(given.unwrap_or(CheckAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))))
    }

    fn host(&self, rendered: &Rendered) -> String {
        format!("{}.{}.localhost", rendered.deployment.service, rendered.deployment.environment)
    }

    async fn releases(&self, id: &DeploymentId, place: &Place) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        let state = locked(&self.state);
        let Some(world) = state.worlds.get(&(id.clone(), place.clone())) else { return Ok(Vec::new()) };
        let is_current = |hash: &DesiredHash| world.current.as_ref() == Some(hash);
        Ok(world.releases.keys().map(|h| ReleaseOnPlace { hash: *h, current: is_current(h) }).collect())
    }

    async fn remove(&self, id: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError> {
        let mut state = locked(&self.state);
        let world = state.enter(id, place, epoch)?;
        world.releases.clear();
        world.current = None;
        Ok(())
    }

    async fn logs(&self, _: &DeploymentId, _: &Place, _: usize) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }

    async fn drifted(&self) -> DeploymentId {
        loop {
            let notified = self.drift.notified();
            if let Some(id) = locked(&self.state).drifted.pop_front() {
                return id;
            }
            notified.await;
        }
    }
}
