//! What the target stores in rendered deployments, observations and steps.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::fleet::{DesiredHash, Route};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Observed, Rendered, Step, TargetError};
use serde::{Deserialize, Serialize};

use crate::files::content::Content;
use crate::stored::parse;

/// The body of a rendered deployment: enough to ask Docker about it without the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    /// The stack's name.
    pub stack: String,
    /// The deployment's folder in the fleet: relative paths start there.
    pub folder: String,
    pub route: Option<Route>,
    /// The stack files by their paths in the fleet, in the order of `-c`.
    pub stack_files: Vec<String>,
    /// What Docker itself reads, by path in the fleet.
    pub inputs: BTreeMap<String, String>,
    /// What containers mount, and what configs and secrets are made of, by path in the fleet.
    pub content: BTreeMap<String, Content>,
}

/// The body of an observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub services: BTreeMap<String, ServiceSeen>,
    /// Services of the stack that the files do not have any more.
    pub orphans: Vec<String>,
    /// Networks, configs and secrets that will be created, `config nginx`.
    pub create: Vec<String>,
    /// Names the generated file, which is never stored here: it holds values.
    pub spelled: String,
    /// What was applied last.
    pub current: Option<Current>,
    /// Ports that no visitor reaches, and why.
    pub unreachable: Vec<String>,
}

/// One service of the files, and what the swarm has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServiceSeen {
    /// The image that is wanted, by digest where it is pinned.
    pub image: String,
    /// Hash of what it is to be, as its label says it.
    pub hash: String,
    /// Hashes of the parts of its configuration: never the values, which may be secrets.
    pub parts: BTreeMap<String, String>,
    /// The swarm has it.
    pub present: bool,
    /// The swarm has it as it is wanted.
    pub matches: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Why nothing runs of it for a while when it is updated.
    pub gap: Option<String>,
    /// It runs to its end, and is well then.
    pub job: bool,
}

/// What was applied last at a place: `current.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    pub deployment: DeploymentId,
    pub stack: String,
    /// None: it ran before Dhow came, and was adopted as it was.
    pub hash: Option<DesiredHash>,
    /// Its folder.
    pub release: String,
    /// Hash of each service's specification when it was applied: another one was changed by hand.
    pub specs: BTreeMap<String, String>,
    /// Tasks that had failed when it had converged.
    #[serde(default)]
    pub failed: BTreeSet<String>,
    /// How long no task of a service ran when it was applied.
    #[serde(default)]
    pub gap_ms: Option<u64>,
}

/// What a release folder says of itself: `release.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Images by service.
    pub images: BTreeMap<String, String>,
    /// Hashes of what each service is.
    pub hashes: BTreeMap<String, String>,
    /// Hashes of the parts of each service's configuration.
    pub parts: BTreeMap<String, BTreeMap<String, String>>,
    /// Folders of content that it uses.
    pub content: BTreeSet<String>,
}

/// From what to what, for the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// Folder of the release.
    pub release: String,
    /// Something ran before.
    pub present: bool,
    pub current: Option<Current>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Sends the release to this folder.
    Files { release: String },
    /// Looks whether the images are there, and can run on a node.
    Images { images: Vec<String> },
    /// `docker stack deploy`, until the swarm has converged.
    Deploy(Change),
    /// Looks whether it stays up.
    Stable,
    /// Removes old releases, configs, secrets and images.
    Prune,
    /// Nothing runs otherwise; the release is noted.
    Record(Change),
}

impl Body {
    /// # Errors
    /// Another version of this program rendered it.
    pub(super) fn of(rendered: &Rendered) -> Result<Self, TargetError> {
        parse(&rendered.body, "this release", "commit to its folder, so that it is rendered again")
    }
}

impl Seen {
    /// What cannot be read is taken for nothing seen.
    pub(super) fn of(observed: &Observed) -> Self {
        serde_json::from_value(observed.body.clone()).unwrap_or_default()
    }

    /// Nothing is to be done.
    pub(super) fn fits(&self) -> bool {
        self.orphans.is_empty() && self.satisfied()
    }

    /// Every service of the files is there as wanted.
    pub(super) fn satisfied(&self) -> bool {
        !self.services.is_empty() && self.services.values().all(|service| service.matches)
    }

    /// Something of the stack is there.
    pub(super) fn present(&self) -> bool {
        !self.orphans.is_empty() || self.services.values().any(|service| service.present)
    }
}

impl Action {
    /// # Errors
    /// Another version of this program planned it.
    pub(super) fn of(step: &Step) -> Result<Self, TargetError> {
        parse(&step.action, &step.key, "`dhow sync SERVICE ENVIRONMENT` plans it anew")
    }
}
