use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use dhow_core::fleet::{Environment, Server};
use dhow_core::noun::{DeploymentId, EnvironmentName, Repository, ServerName, TargetType};
use dhow_core::port::{
    Clock, FleetRepo, FleetRepoError, Lease, Place, Store, StoreError, Target, VersionSource,
};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::creations::Creations;
use crate::health::Look;
use crate::journal::Journal;
use crate::locks::Locks;
use crate::looks::Looking;
use crate::permits::Permits;
use crate::rollout::Heard;
use crate::sync::Progress;
use crate::trouble::Troubles;
use crate::view::{Scope, View};

/// The outside, as the engine sees it.
#[derive(Clone)]
pub struct Ports {
    /// What outlives a crash.
    pub store: Arc<dyn Store>,
    /// The fleet.
    pub fleet: Arc<dyn FleetRepo>,
    /// Where versions come from.
    pub source: Arc<dyn VersionSource>,
    /// What runs deployments, by type.
    pub targets: BTreeMap<TargetType, Arc<dyn Target>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Intervals and limits (design section 8, "Defaults").
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often the fleet's head is read.
    pub fleet_interval: Duration,
    /// How often a repository's tags are read.
    pub tags_interval: Duration,
    /// How often what runs is looked at.
    pub observe_interval: Duration,
    /// How often checks are repeated after a rollout.
    pub health_interval: Duration,
    /// How many releases are kept.
    pub keep_releases: usize,
    /// How long what becomes ready is gathered before it is committed, while more of the same pass is selected.
    pub gather: Duration,
    /// By which share intervals and backoffs vary, so that many of a kind do not act at once; 0 where runs must repeat.
    pub jitter: f64,
    /// Whether `command` checks may run on this machine.
    pub command_checks: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fleet_interval: Duration::from_secs(30),
            tags_interval: Duration::from_secs(60),
            observe_interval: Duration::from_secs(300),
            health_interval: Duration::from_secs(30),
            keep_releases: 10,
            gather: Duration::from_secs(1),
            jitter: 0.1,
            command_checks: false,
        }
    }
}

/// What goes wrong in the engine itself.
#[derive(Debug, Clone, Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The fleet's repository.
    #[error(transparent)]
    Fleet(#[from] FleetRepoError),
    /// What was asked cannot be done now; the message says why and what can be done.
    #[error("{0}")]
    Refused(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
}

impl From<std::io::Error> for EngineError {
    fn from(error: std::io::Error) -> Self {
        Self::Fleet(FleetRepoError::Damaged(error.to_string()))
    }
}

/// The voyage. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub ports: Ports,
    pub settings: Settings,
    pub journal: Journal,
    pub lease: Lease,
    pub view: RwLock<Option<Arc<View>>>,
    pub scopes: Locks<Scope>,
    /// The view and what of it is to be compared: for a moment only, or for as long as the remote takes to answer.
    pub syncing: tokio::sync::Mutex<Progress>,
    /// Who compares. It may take long, and holds up nobody who only needs the fleet's head.
    pub comparing: tokio::sync::Mutex<()>,
    pub committing: tokio::sync::Mutex<()>,
    pub fleet_nudge: Notify,
    pub tags_nudge: Notify,
    pub nudged: Mutex<BTreeSet<Repository>>,
    pub updates_ready: Notify,
    pub selecting: std::sync::atomic::AtomicUsize,
    /// What is ready does not wait for what a pass may find.
    pub hurried: std::sync::atomic::AtomicBool,
    pub creations: Creations,
    pub workers: Mutex<HashMap<DeploymentId, Worker>>,
    /// Who does something to a deployment at a place that owes it something.
    pub effects: Locks<(DeploymentId, Place)>,
    /// The tasks that try what places owe.
    pub collectors: Mutex<HashMap<(DeploymentId, Place), Worker>>,
    /// What places that owe something are asked at a time.
    pub debtors: Permits,
    /// How the servers are reached, as it was last said of each.
    pub servers: RwLock<BTreeMap<ServerName, Server>>,
    pub looking: Looking,
    /// The gates in force, as they are stored.
    pub in_force: RwLock<BTreeMap<EnvironmentName, Environment>>,
    pub looks: Mutex<HashMap<DeploymentId, Look>>,
    pub troubles: Troubles,
    /// Of some deployment it cannot be told now what it should run.
    pub unclear: std::sync::atomic::AtomicBool,
    /// The fleet's head was followed once: until then the view is what the last process saw, and nothing is selected by it.
    pub followed: std::sync::atomic::AtomicBool,
    pub rollout_numbers: std::sync::atomic::AtomicU64,
    pub tracker: TaskTracker,
    pub stop: CancellationToken,
    /// It was another one that stopped this one.
    pub(crate) taken_over: std::sync::atomic::AtomicBool,
}

/// A task that drives the rollouts of one deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Worker {
    /// Something changed for it while it ran: it looks again before it ends.
    pub again: bool,
    /// Ends its waiting.
    pub wake: Arc<Notify>,
    /// Ends what it does, for a newer rollout or a person.
    pub interrupt: Arc<Notify>,
    /// What the steps of its rollout said.
    pub heard: Arc<Mutex<Heard>>,
}

impl Inner {
    /// The fleet at its head; refused until it was read for the first time.
    pub fn view(&self) -> Result<Arc<View>, EngineError> {
        self.view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| EngineError::Refused("the fleet has not been read yet; see `dhow status`".into()))
    }

    pub fn set_view(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.ports.clock.now().as_millisecond()
    }

    /// A tag of this repository may have been written.
    pub fn nudge(&self, repository: &Repository) {
        self.nudged.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone());
        self.tags_nudge.notify_one();
    }

    pub fn target(&self, kind: TargetType) -> Option<Arc<dyn Target>> {
        self.ports.targets.get(&kind).cloned()
    }
}

impl Engine {
    /// The epoch of this engine's lease: a place refuses effects of a lower one than it has seen.
    pub fn epoch(&self) -> u64 {
        self.inner.lease.epoch
    }

    /// Takes the lease of this store, and gets ready. Nothing happens in the world until [`Engine::run`].
    ///
    /// Errors: [`StoreError::Held`] where another Dhow works on this store.
    pub async fn open(ports: Ports, settings: Settings, holder: &str) -> Result<Self, EngineError> {
        let lease = ports.store.acquire("engine", holder, LEASE).await?;
        let newest = ports.store.last_event().await?;
        let journal = Journal::new(Arc::clone(&ports.store), Arc::clone(&ports.clock), newest);
        let inner = Inner {
            journal,
            lease,
            view: RwLock::new(None),
            scopes: Locks::default(),
            syncing: tokio::sync::Mutex::default(),
            comparing: tokio::sync::Mutex::default(),
            committing: tokio::sync::Mutex::new(()),
            fleet_nudge: Notify::new(),
            tags_nudge: Notify::new(),
            nudged: Mutex::default(),
            updates_ready: Notify::new(),
            selecting: std::sync::atomic::AtomicUsize::new(0),
            hurried: std::sync::atomic::AtomicBool::new(false),
            creations: Creations::default(),
            workers: Mutex::new(HashMap::new()),
            effects: Locks::default(),
            collectors: Mutex::default(),
            debtors: Permits::new(DEBTS_AT_ONCE),
            servers: RwLock::default(),
            looking: Looking::default(),
            in_force: RwLock::default(),
            looks: Mutex::default(),
            troubles: Troubles::default(),
            // Not known before the first look.
            unclear: std::sync::atomic::AtomicBool::new(true),
            followed: std::sync::atomic::AtomicBool::new(false),
            rollout_numbers: std::sync::atomic::AtomicU64::new(newest + 1),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            taken_over: std::sync::atomic::AtomicBool::new(false),
            ports,
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs the voyage until [`Engine::stop`]. What a crash left open is settled first.
    pub async fn run(&self) -> Result<(), EngineError> {
        let inner = &self.inner;
        inner.tracker.spawn(Arc::clone(inner).keep_lease());
        inner.tracker.spawn(Arc::clone(inner).sync_loop());
        inner.tracker.spawn(Arc::clone(inner).watch_loop());
        inner.tracker.spawn(Arc::clone(inner).commit_loop());
        inner.tracker.spawn(Arc::clone(inner).branch_loop());
        inner.tracker.spawn(Arc::clone(inner).health_loop());
        inner.tracker.spawn(Arc::clone(inner).nudged_looks());
        for target in inner.ports.targets.values() {
            inner.tracker.spawn(Arc::clone(inner).drift_loop(Arc::clone(target)));
        }
        inner.stop.cancelled().await;
        Ok(())
    }

    /// Ends the voyage: no new step is begun, running ones are waited for up to `grace`. What is open goes on at the
    /// next start.
    pub async fn stop(&self, grace: Duration) {
        self.inner.stop.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!("steps still run after {grace:?}; they go on at the next start");
        }
        if let Err(error) = self.inner.ports.store.release(&self.inner.lease).await {
            tracing::warn!(%error, "the lease could not be given back");
        }
    }

    /// A tag may have been written: look now. Costs nothing when there is nothing new.
    pub fn nudge_repository(&self, repository: &Repository) {
        self.inner.nudge(repository);
        if self.inner.unclear.load(std::sync::atomic::Ordering::SeqCst) {
            self.inner.fleet_nudge.notify_one();
        }
    }

    /// The fleet may have moved: look now.
    pub fn nudge_fleet(&self) {
        self.inner.fleet_nudge.notify_one();
    }

    /// The journal: what readers follow.
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// The store, for readers.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.ports.store
    }

    /// The fleet at its head, with its files; `None` until it was read for the first time.
    pub fn fleet(&self) -> Option<Arc<View>> {
        self.inner.view().ok()
    }

    /// How every server is reached, as the fleet last said it; also those that it does not have any more, and where
    /// something may have to be taken away.
    pub fn servers(&self) -> BTreeMap<ServerName, Server> {
        self.inner.servers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why this engine changes nothing any more, for people: another one has its lease, or has been at its places.
    pub fn taken_over(&self) -> Option<&'static str> {
        self.inner.taken_over.load(std::sync::atomic::Ordering::SeqCst).then_some(
            "this dhow carries nothing any more: another one has taken over, and the log says where; keep one of them, and \
             start that one again",
        )
    }

    /// Why nothing is carried; `None`: the fleet was read, by this process or by one before it on the same state, and the
    /// voyage goes on.
    pub fn not_ready(&self) -> Option<&'static str> {
        if let Some(over) = self.taken_over() {
            return Some(over);
        }
        let starts = "dhow is starting: the fleet was not read yet; its log says what it waits for";
        self.inner.view().is_err().then_some(starts)
    }
}

/// Debts of one server that are tried at a time.
const DEBTS_AT_ONCE: usize = 4;
/// How long the engine's lease holds without a word from its holder.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

impl Inner {
    /// Another one has taken over: nothing more is begun here.
    pub(crate) fn step_down(&self) {
        self.taken_over.store(true, std::sync::atomic::Ordering::SeqCst);
        self.stop.cancel();
    }

    async fn keep_lease(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.ports.clock.sleep(LEASE / 3) => {}
            }
            match self.ports.store.renew(&self.lease, LEASE).await {
                Err(error @ StoreError::Held { .. }) => {
                    tracing::error!(%error, "another dhow has taken over; this one stops");
                    self.step_down();
                    return;
                }
                Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
                Ok(()) => {}
            }
        }
    }

    /// A time with a little more or less.
    pub fn jitter(&self, time: Duration) -> Duration {
        let share = self.settings.jitter;
        time.mul_f64(rand::random_range(1.0 - share..=1.0 + share))
    }
}
