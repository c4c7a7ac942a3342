use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::room::Given;
use super::{Hearing, Inside, Lines, LogLines, Process, Tail, VersionSource};
use crate::fleet::{Deployment, DesiredHash, Probe, Tree};
use crate::noun::{ArtifactName, DeploymentId, Digest, Pin, ServerName, TargetType};

/// Where bundles come from, for the targets that unpack them.
pub type Bundles = Arc<dyn VersionSource>;

/// Where a deployment runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The machine that Dhow itself runs on.
    Local,
    /// A server of the fleet.
    Server(ServerName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this machine"),
            Self::Server(name) => write!(f, "{name}"),
        }
    }
}

/// Which phase of a rollout a step belongs to (design section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Pull, unpack, start beside: nothing that a visitor can see.
    Preparing,
    /// Checks against the candidate.
    Checking,
    /// Routes, symlink, recreate.
    Switching,
    /// Checks through the front door.
    Verifying,
    /// Drain, stop the old, prune.
    Finishing,
}

/// What a target is given to render.
#[derive(Clone)]
pub struct RenderInput {
    /// The deployment as its folder declares it.
    pub deployment: Arc<Deployment>,
    /// The fleet's files at the commit.
    pub tree: Arc<dyn Tree>,
    /// The versions, with digests.
    pub pins: BTreeMap<ArtifactName, Pin>,
}

/// What a deployment is to run, in the target's own words. It can be stored, and applied again without the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// Whose it is.
    pub deployment: DeploymentId,
    /// Where it runs.
    pub places: Vec<Place>,
    /// The versions.
    pub pins: BTreeMap<ArtifactName, Pin>,
    /// Every file of the fleet that was read, mounted, sent or served, sorted: the desired hash is made of these.
    pub reads: Vec<String>,
    /// Files whose content goes with the release, by their paths in the fleet.
    /// The engine keeps their bytes reachable by the fleet's commit.
    pub fleet_files: Vec<String>,
    /// The target's own data.
    pub body: serde_json::Value,
    /// Said on the plan and stored with the rollout: what the user should know (a gap, an ignored key).
    pub notes: Vec<String>,
}

impl Rendered {
    /// ` on web1`, for messages; empty where this machine is the only place.
    pub fn on(&self, place: &Place) -> String {
        if self.places == [Place::Local] { String::new() } else { format!(" on {place}") }
    }
}

/// What runs at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The release that runs, where the target knows by what it is marked with.
    pub release: Option<DesiredHash>,
    /// Something runs.
    pub present: bool,
    /// The digests that run, as the engine reports them.
    pub running: BTreeSet<Digest>,
    /// The target's own data: a dry run's answer, container states.
    pub body: serde_json::Value,
}

/// One step of a plan: data, printable, executed by [`Target::execute`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable across runs of the same rollout: what recovery looks for in the world.
    pub key: String,
    /// When it is done.
    pub phase: Phase,
    /// Where it is done.
    pub place: Place,
    /// What it does, for people: `unpack 12 files of web 1.4.0`.
    pub summary: String,
    /// What it does, for the target.
    pub action: serde_json::Value,
}

/// Whether a step's effect is in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is.
    Done,
    /// It is not.
    NotDone,
    /// It cannot be told; executing it again must be harmless.
    Unknown,
}

/// What a step runs under.
#[derive(Clone)]
pub struct Context {
    /// What is rolled out.
    pub rendered: Arc<Rendered>,
    /// The release it becomes.
    pub hash: DesiredHash,
    /// The fleet's files at the release's commit; `None` when that commit cannot be had any more.
    pub tree: Option<Arc<dyn Tree>>,
    /// Number of the rollout.
    pub rollout: u64,
    /// Epoch of the lease: a place refuses a lower one than it has seen.
    pub epoch: u64,
    /// Where bundles come from.
    pub bundles: Bundles,
    /// Releases that must not be pruned.
    pub keep: Vec<DesiredHash>,
    /// Is told what commands say, line by line: it becomes the rollout's log.
    pub log: Arc<dyn Lines>,
}

/// Where a check connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAddress {
    /// A unix socket that only Dhow knows.
    Unix(PathBuf),
    /// An address, where HTTP is plain.
    Tcp(SocketAddr),
    /// An address where HTTP is spoken over TLS: the front door of a site that has a certificate.
    Tls(SocketAddr),
    /// There is nothing to connect to, and why: a candidate is then not checked, and at the front door a check that
    /// connects fails with these words.
    Nowhere(String),
}

/// Which side of a deployment a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The candidate, which no visitor sees.
    Candidate,
    /// The front door.
    Door,
}

/// A release that a place has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseOnPlace {
    /// Which.
    pub hash: DesiredHash,
    /// It is the one that runs.
    pub current: bool,
}

/// What goes wrong in a target.
#[derive(Debug, Clone, Error)]
pub enum TargetError {
    /// It may succeed by itself: a registry that does not answer, a server that restarts.
    #[error("{0}")]
    Passing(String),
    /// This version or these files cannot run: trying again changes nothing.
    #[error("{0}")]
    Failed(String),
    /// A person must act, and neither the version nor the files are to blame: a full disk, a missing tool.
    #[error("{0}")]
    Blocked(String),
    /// The place has seen a higher epoch: another Dhow has taken over.
    #[error("another dhow (epoch {seen}) has taken over this place; this one (epoch {ours}) stops")]
    Fenced {
        /// Epoch at the place.
        seen: u64,
        /// Our epoch.
        ours: u64,
    },
}

/// The code that renders, plans, applies, verifies and removes deployments of one type.
///
/// *Assumptions*: one rollout at a time per deployment; the steps of a plan run in their order, phase by phase.
/// *Guarantees wanted of every implementation* (held by `dhow_testkit::target`): executing a step twice is the same as
/// once; before `Switching` nothing that a visitor sees changes; `undo` of a step that was not done does nothing; a
/// process killed in any step leaves a world that `settle` can judge and `execute` can complete.
#[async_trait]
pub trait Target: Send + Sync {
    /// Which type it runs.
    fn kind(&self) -> TargetType;

    /// How many deployments of this type may be created at a time at a place; updates do not count. The default is for
    /// types whose creation starts something.
    fn creations(&self, _: &Place) -> usize {
        4
    }

    /// What the deployment is to run. May run tools; reads nothing but the input. Errors are [`TargetError::Failed`].
    async fn render(&self, input: RenderInput) -> Result<Rendered, TargetError>;

    /// What runs at a place. Changes nothing.
    async fn observe(&self, rendered: &Rendered, place: &Place) -> Result<Observed, TargetError>;

    /// The steps from what runs to what is wanted; empty where nothing is to do. Pure.
    fn plan(&self, rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step>;

    /// Does a step. A crash in it leaves the step to be settled and executed again.
    async fn execute(&self, step: &Step, context: &Context) -> Result<(), TargetError>;

    /// Takes a step back, in the reverse order of execution, so that what ran before runs again.
    async fn undo(&self, step: &Step, context: &Context) -> Result<(), TargetError>;

    /// After a crash: is the step's effect there?
    async fn settle(&self, step: &Step, context: &Context) -> Result<Settled, TargetError>;

    /// Brings all content of a release to its places, and does nothing else: no candidate, nothing that runs is touched.
    /// A rollback by command asks for it before anything is held. Repeatable. The default is for types whose content
    /// is brought by the steps alone.
    async fn bring(&self, _context: &Context) -> Result<(), TargetError> {
        Ok(())
    }

    /// Where checks of the deployment at this place connect to.
    async fn address(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError>;

    /// The check of a deployment that declares none; `None`: the target's own [`Target::verify`]. The release must
    /// have been prepared, because the answer may depend on its content. Changes nothing.
    async fn default_probe(
        &self,
        _rendered: &Rendered,
        _hash: &DesiredHash,
    ) -> Result<Option<Probe>, TargetError> {
        Ok(None)
    }

    /// Whether the place reports exactly this release running. An error says what runs there instead. Changes nothing.
    async fn verify(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
    ) -> Result<(), TargetError> {
        let runs = match self.observe(rendered, place).await?.release {
            Some(release) if release == *hash => return Ok(()),
            Some(release) => format!("release {}", release.short()),
            None => "no release that is known".to_owned(),
        };
        Err(TargetError::Failed(format!(
            "{} runs {runs}, and release {} is wanted there",
            rendered.deployment,
            hash.short()
        )))
    }

    /// The host name that `{host}` stands for.
    fn host(&self, rendered: &Rendered) -> String;

    /// Releases that a place has, current one included: what a rollback can restore without a registry.
    async fn releases(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<ReleaseOnPlace>, TargetError>;

    /// Removes the deployment from a place. Data stays. Repeatable.
    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError>;

    /// The last lines that the deployment wrote, newest last; empty where the type has no log.
    async fn logs(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        lines: usize,
    ) -> Result<Vec<String>, TargetError>;

    /// What runs of the deployment at a place, sorted by name; empty where the type runs nothing of its own. Takes a few
    /// seconds where the engine measures. Changes nothing.
    async fn processes(&self, _: &DeploymentId, _: &Place) -> Result<Vec<Process>, TargetError> {
        Ok(Vec::new())
    }

    /// The lines that the deployment wrote at a place, oldest first, and where asked for those that come. The stream
    /// reads no faster than it is read, and all that stands behind it ends when it is dropped. Changes nothing.
    async fn follow(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        tail: &Tail,
    ) -> Result<LogLines, TargetError> {
        Ok(Given::lines(self.logs(deployment, place, tail.lines).await?))
    }

    /// Runs a command inside of what runs at a place, without a terminal. `Failed`: there is nothing to run it in, or
    /// the question is not clear. A command that goes on when nobody listens any more is the container's own: no engine
    /// can end it.
    async fn exec(&self, deployment: &DeploymentId, _: &Place, _: &Inside) -> Result<Hearing, TargetError> {
        Err(TargetError::Failed(format!(
            "{deployment} has nothing that a command could run in: its type has no containers"
        )))
    }

    /// The next deployment whose world changed without us (drift); pends where the engine tells nothing.
    async fn drifted(&self) -> DeploymentId;
}
