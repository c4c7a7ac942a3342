use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, Digest, TargetType};
use dhow_core::port::{
    CheckAddress, Context, Front, Heard, Hearing, Inside, Observed, Phase, Place, Process, ReleaseOnPlace,
    RenderInput, Rendered, Settled, Step, Stream, Target, TargetError,
};
use dhow_testkit::MemoryTarget;
use tokio::sync::{Notify, watch};

/// A file with this word in it does not work.
pub const BROKEN: &str = "BROKEN";

/// Where deployments of one type run. What is rolled out there may be broken, or slow.
pub struct Dock {
    pub target: MemoryTarget,
    broken: Mutex<BTreeSet<(Option<DeploymentId>, Digest)>>,
    slow: Mutex<BTreeMap<DeploymentId, watch::Sender<bool>>>,
    /// Those of which it is not told what they should run.
    unreadable: Mutex<BTreeMap<DeploymentId, Gate>>,
    switched: Mutex<Vec<(DeploymentId, DesiredHash)>>,
    brought: Mutex<BTreeMap<DesiredHash, Vec<Digest>>>,
    refused_removals: AtomicUsize,
    /// Places whose rooms cannot be looked into: false, they say so; true, they are silent.
    away: Mutex<BTreeMap<Place, bool>>,
    /// Places that do nothing: false, they say so; true, they are silent.
    lost: Mutex<BTreeMap<Place, bool>>,
    /// They were found: connections of before are broken.
    found: Notify,
    /// Places at which going back hangs.
    no_way_back: Mutex<BTreeSet<Place>>,
    /// What was asked of each place.
    asked: Mutex<BTreeMap<Place, usize>>,
    /// What every step says.
    says: Mutex<Vec<String>>,
}

/// What has to open before something goes on.
struct Gate {
    open: watch::Sender<bool>,
    /// Only one is stopped.
    once: bool,
    used: bool,
}

impl Gate {
    fn stop(&mut self) -> Option<watch::Receiver<bool>> {
        let passes = self.once && self.used;
        self.used = true;
        (!passes).then(|| self.open.subscribe())
    }
}

impl Dock {
    pub fn new(kind: TargetType) -> Arc<Self> {
        Arc::new(Self {
            target: MemoryTarget::new(kind),
            broken: Mutex::default(),
            slow: Mutex::default(),
            unreadable: Mutex::default(),
            switched: Mutex::default(),
            brought: Mutex::default(),
            refused_removals: AtomicUsize::new(0),
            away: Mutex::default(),
            lost: Mutex::default(),
            found: Notify::new(),
            no_way_back: Mutex::default(),
            asked: Mutex::default(),
            says: Mutex::default(),
        })
    }

    /// Comparing it hangs, until [`Dock::render_again`].
    pub fn hang_in_render(&self, deployment: DeploymentId) {
        let gate = Gate { open: watch::Sender::new(false), once: false, used: false };
        self.unreadable.lock().unwrap().insert(deployment, gate);
    }

    /// The next time that it is compared hangs, until [`Dock::render_again`].
    pub fn hang_in_next_render(&self, deployment: DeploymentId) {
        let gate = Gate { open: watch::Sender::new(false), once: true, used: false };
        self.unreadable.lock().unwrap().insert(deployment, gate);
    }

    /// It can be compared, also where that hangs just now.
    pub fn render_again(&self, deployment: &DeploymentId) {
        if let Some(gate) = self.unreadable.lock().unwrap().remove(deployment) {
            gate.open.send_replace(true);
        }
    }

    /// The checks of this version fail, in one deployment or in all.
    pub fn break_version(&self, deployment: Option<DeploymentId>, digest: Digest) {
        self.broken.lock().unwrap().insert((deployment, digest));
    }

    /// It works now.
    pub fn mend_version(&self, digest: Digest) {
        self.broken.lock().unwrap().retain(|(_, d)| *d != digest);
    }

    /// What is live is found wanting through the front door, until [`MemoryTarget::heal`].
    pub fn fail_verifying(&self, deployment: DeploymentId) {
        let error = TargetError::Failed("the front door answers 500".into());
        self.target.fail_in(Some(deployment), Phase::Verifying, error);
    }

    /// So many removals fail first.
    pub fn refuse_removals(&self, count: usize) {
        self.refused_removals.store(count, Ordering::SeqCst);
    }

    /// Rollouts of this deployment do not come to an end, until [`Dock::let_go`].
    pub fn slow_down(&self, deployment: DeploymentId) {
        self.slow.lock().unwrap().insert(deployment, watch::Sender::new(false));
    }

    pub fn let_go(&self, deployment: &DeploymentId) {
        if let Some(gate) = self.slow.lock().unwrap().remove(deployment) {
            gate.send_replace(true);
        }
    }

    /// What runs there cannot be looked into: the place says so, or is silent.
    pub fn away(&self, place: Place, silent: bool) {
        self.away.lock().unwrap().insert(place, silent);
    }

    /// A place does nothing any more: it says so, or is silent.
    pub fn lose(&self, place: Place, silent: bool) {
        self.lost.lock().unwrap().insert(place, silent);
    }

    /// Going back hangs at a place.
    pub fn block_way_back(&self, place: Place) {
        self.no_way_back.lock().unwrap().insert(place);
    }

    /// Every place answers again.
    pub fn find_all(&self) {
        self.lost.lock().unwrap().clear();
        self.no_way_back.lock().unwrap().clear();
        self.found.notify_waiters();
    }

    /// How often a place was asked for anything.
    pub fn asked(&self, place: &Place) -> usize {
        self.asked.lock().unwrap().get(place).copied().unwrap_or_default()
    }

    /// Every step says this.
    pub fn says(&self, lines: &[&str]) {
        *self.says.lock().unwrap() = lines.iter().map(|line| (*line).to_owned()).collect();
    }

    async fn answers(&self, place: &Place) -> Result<(), TargetError> {
        *self.asked.lock().unwrap().entry(place.clone()).or_default() += 1;
        let lost = self.lost.lock().unwrap().get(place).copied();
        match lost {
            None => Ok(()),
            Some(false) => Err(TargetError::Passing(format!("{place} cannot be reached"))),
            Some(true) => {
                self.found.notified().await;
                Err(TargetError::Passing(format!("the connection to {place} broke")))
            }
        }
    }

    async fn is_there(&self, place: &Place) -> Result<(), TargetError> {
        let away = self.away.lock().unwrap().get(place).copied();
        match away {
            None => Ok(()),
            Some(false) => Err(TargetError::Passing("it cannot be reached".into())),
            Some(true) => std::future::pending().await,
        }
    }

    /// The digests of a release that a step was ever done for, also where Dhow forgot it.
    pub fn digests_of(&self, hash: &DesiredHash) -> Vec<Digest> {
        self.brought.lock().unwrap().get(hash).cloned().unwrap_or_default()
    }

    /// What went live, in order.
    pub fn switched(&self) -> Vec<(DeploymentId, DesiredHash)> {
        self.switched.lock().unwrap().clone()
    }

    fn works(&self, context: &Context) -> Result<(), TargetError> {
        let id = &context.rendered.deployment;
        let broken = self.broken.lock().unwrap();
        let is_broken = |digest: Digest| {
            broken.iter().any(|(of, d)| *d == digest && of.as_ref().is_none_or(|of| of == id))
        };
        for pin in context.rendered.pins.values() {
            if is_broken(pin.digest) {
                return Err(TargetError::Failed(format!("{} answers 500", pin.reference())));
            }
        }
        for path in &context.rendered.reads {
            let bytes = context.tree.as_ref().and_then(|tree| tree.read(path).ok().flatten());
            if bytes.is_some_and(|b| String::from_utf8_lossy(&b).contains(BROKEN)) {
                return Err(TargetError::Failed(format!("{path} is broken")));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Target for Dock {
    fn kind(&self) -> TargetType {
        self.target.kind()
    }

    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError> {
        let gate = self.unreadable.lock().unwrap().get_mut(&input.deployment.id).and_then(Gate::stop);
        if let Some(mut gate) = gate {
            let _ = gate.wait_for(|open| *open).await;
        }
        self.target.render(input).await
    }

    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError> {
        self.answers(place).await?;
        self.target.observe(rendered, place).await
    }

    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
        self.target.plan(rendered, hash, place, observed)
    }

    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let gate = self.slow.lock().unwrap().get(&context.rendered.deployment).map(watch::Sender::subscribe);
        if let (Some(mut gate), Phase::Checking) = (gate, step.phase) {
            let _ = gate.wait_for(|open| *open).await;
        }
        let digests = context.rendered.pins.values().map(|pin| pin.digest).collect();
        self.brought.lock().unwrap().insert(context.hash, digests);
        self.answers(&step.place).await?;
        let says = self.says.lock().unwrap().clone();
        says.iter().for_each(|line| context.log.line(Stream::Out, line));
        if step.phase == Phase::Checking {
            self.works(context)?;
        }
        self.target.execute(step, context).await?;
        if step.phase == Phase::Switching {
            self.switched.lock().unwrap().push((context.rendered.deployment.clone(), context.hash));
        }
        Ok(())
    }

    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        self.answers(&step.place).await?;
        let blocked = self.no_way_back.lock().unwrap().contains(&step.place);
        if blocked {
            std::future::pending::<()>().await;
        }
        self.target.undo(step, context).await
    }

    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        self.answers(&step.place).await?;
        self.target.settle(step, context).await
    }

    async fn bring(&self, context: &Context) -> Result<(), TargetError> {
        for place in &context.rendered.places {
            self.answers(place).await?;
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
        self.target.address(rendered, hash, place, front).await
    }

    fn host(&self, rendered: &Rendered) -> String {
        self.target.host(rendered)
    }

    async fn releases(&self, id: &DeploymentId, place: &Place) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        self.target.releases(id, place).await
    }

    async fn remove(&self, id: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError> {
        self.answers(place).await?;
        let left =
            self.refused_removals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() {
            return Err(TargetError::Passing("it is busy".into()));
        }
        self.target.remove(id, place, epoch).await
    }

    async fn logs(&self, id: &DeploymentId, place: &Place, lines: usize) -> Result<Vec<String>, TargetError> {
        self.is_there(place).await?;
        self.target.logs(id, place, lines).await?;
        Ok(vec![format!("a line of {place:?}")])
    }

    async fn processes(&self, _: &DeploymentId, place: &Place) -> Result<Vec<Process>, TargetError> {
        self.answers(place).await?;
        self.is_there(place).await?;
        Ok(vec![Process {
            id: "0123456789ab".into(),
            name: "web-1".into(),
            component: "web".into(),
            image: "web".into(),
            digest: None,
            state: "running".into(),
            health: None,
            since: None,
            exit_code: None,
            restarts: 0,
            memory: None,
            memory_limit: None,
            cpu: None,
        }])
    }

    async fn exec(&self, _: &DeploymentId, place: &Place, _: &Inside) -> Result<Hearing, TargetError> {
        self.is_there(place).await?;
        let heard = [Ok(Heard::Began { container: "web-1".into() }), Ok(Heard::Ended { code: 0 })];
        Ok(Box::pin(futures::stream::iter(heard)))
    }

    async fn drifted(&self) -> DeploymentId {
        self.target.drifted().await
    }
}
