//! What the target stores in rendered deployments, observations and steps.

use std::collections::BTreeMap;

use dhow_core::fleet::{DesiredHash, Isolation, Route, Strategy};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Observed, Rendered, Step, TargetError};
use serde::{Deserialize, Serialize};

pub(super) use crate::files::content::Content;
use crate::stored::parse;
pub(super) use crate::stored::value;

use super::routes::Noted;

/// The body of a rendered deployment: enough to ask Compose about it without the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    /// The name that the engine knows it by.
    pub project: String,
    /// The deployment's folder in the fleet: relative paths start there.
    pub folder: String,
    pub route: Option<Route>,
    /// The Compose files by their paths in the fleet, in the order of `-f`.
    pub compose_files: Vec<String>,
    /// What Compose itself reads, by path in the fleet.
    pub inputs: BTreeMap<String, String>,
    /// What containers mount, by path in the fleet.
    pub content: BTreeMap<String, Content>,
    /// How it is updated, where a person says so.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// Its networks.
    #[serde(default)]
    pub isolation: Isolation,
    /// Who has its data, if it was called otherwise before.
    #[serde(default)]
    pub moved_from: Option<DeploymentId>,
}

/// The body of an observation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub services: BTreeMap<String, ServiceSeen>,
    /// Containers of services that the files do not have any more.
    pub orphans: BTreeMap<String, Vec<ContainerSeen>>,
    /// Images that the engine does not have.
    pub missing_images: Vec<String>,
    /// Volumes and networks that will be created, `volume data`.
    pub create: Vec<String>,
    /// Volumes and networks that are declared external and are not there.
    pub missing_external: Vec<String>,
    /// What the generated override file says.
    pub override_file: String,
    /// Folders of content that it mounts.
    pub content: Vec<String>,
    /// Where the data folders are, by path in the fleet.
    pub data: BTreeMap<String, String>,
    /// What was applied last.
    pub current: Option<Current>,
    /// How what runs can be started again.
    pub before: Option<Stack>,
    /// Fixed ports that somebody else's container holds, with whose.
    pub ports_taken: Vec<String>,
    /// A proxy stands in front of the place.
    pub routed: bool,
    /// What people should know of each deploy through that proxy.
    #[serde(default)]
    pub proxy_note: Option<String>,
    /// What is to be done at the proxy although no container changes.
    #[serde(default)]
    pub reroute: Option<String>,
    /// Why the disk there is nearly full.
    #[serde(default)]
    pub nearly_full: Option<String>,
    /// Why nothing may be pulled there.
    #[serde(default)]
    pub no_room: Option<String>,
}

/// One service of the files, and what runs of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServiceSeen {
    /// Hash of its configuration, as Compose writes it on containers.
    pub hash: String,
    pub replicas: usize,
    /// The image that is wanted, by digest where it is pinned.
    pub image: String,
    /// Hashes of the parts of its configuration: never the values, which may be secrets.
    pub parts: BTreeMap<String, String>,
    pub containers: Vec<ContainerSeen>,
    /// Why those that do not match do not.
    pub reasons: Vec<String>,
    /// Why two of it cannot run beside each other.
    pub exclusive: Option<String>,
    /// It may end: it is well when it ended well.
    pub one_shot: bool,
    /// Others wait for its end.
    pub waited_for: bool,
    /// Its files ask for a platform.
    pub platform: Option<String>,
    /// It is built from source.
    pub build: bool,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerSeen {
    pub id: String,
    pub name: String,
    /// Its configuration and image are the wanted ones.
    pub matches: bool,
    /// It runs, or it ran once and ended well.
    pub up: bool,
}

/// Files that Compose can be given to start a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stack {
    /// Relative paths start here.
    pub directory: String,
    /// In the order of `-f`, absolute.
    pub files: Vec<String>,
}

/// What was applied last at a place: `current.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Current {
    pub deployment: DeploymentId,
    pub project: String,
    /// None: it ran before Dhow came, and was adopted as it was.
    pub hash: Option<DesiredHash>,
    pub stack: Stack,
    /// How long there was no service when it was switched to, where it was recreated.
    #[serde(default)]
    pub gap_ms: Option<u64>,
    /// The route that the proxy was given.
    #[serde(default)]
    pub route: Option<Route>,
    /// Which proxy.
    #[serde(default)]
    pub proxy: Option<Noted>,
    /// Proxies that had the route before, and may have it still.
    #[serde(default)]
    pub former: Vec<Noted>,
}

/// What a release folder says of itself: `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Images by service.
    pub images: BTreeMap<String, String>,
    /// Hashes of the parts of each service's configuration.
    pub parts: BTreeMap<String, BTreeMap<String, String>>,
    /// Folders of content that it mounts.
    pub content: Vec<String>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Sends the release.
    Files { override_file: String, content: Vec<String>, data: BTreeMap<String, String> },
    /// Brings the images, and looks whether they can run here.
    Pull {
        /// Every image, and the platform that its service asks for.
        platforms: BTreeMap<String, Option<String>>,
        /// Something would stop containers from starting.
        in_the_way: bool,
    },
    /// Starts the new containers beside the old ones.
    Beside(Beside),
    /// `docker compose up`.
    Recreate(Change),
    /// Routes go to the new containers.
    Route { change: Change, beside: Beside },
    /// Looks whether it stays up.
    Stable,
    /// Takes the old containers away.
    Drain {
        old: Vec<String>,
        services: Vec<String>,
        /// The route that led to them.
        #[serde(default)]
        route: Option<Route>,
    },
    /// Removes old releases and their images.
    Prune,
    /// Nothing runs otherwise; the release is noted.
    Record { change: Change },
    /// Nothing runs otherwise; the proxy gets the route, or loses it.
    Reroute { change: Change },
    /// It cannot be done as a person asks for.
    Refuse { because: String },
}

/// New containers beside old ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    /// Folder of the release.
    pub release: String,
    /// Services that run once: these come first.
    pub first: Vec<String>,
    /// How many new containers there are to be of a service.
    pub replicas: BTreeMap<String, usize>,
    /// Services that are new.
    pub created: Vec<String>,
    /// The old containers.
    pub old: Vec<String>,
    /// Hash of each service's new configuration.
    pub hashes: BTreeMap<String, String>,
}

/// From what to what, for the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// Folder of the release.
    pub release: String,
    /// Something ran before.
    pub present: bool,
    /// What ran before.
    pub before: Option<Stack>,
    pub current: Option<Current>,
    /// Containers to which the route leads are replaced.
    #[serde(default)]
    pub replaces: bool,
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
}

impl Seen {
    /// What would stop containers from starting, with what to do: told while the old ones run.
    pub(super) fn in_the_way(&self) -> Option<String> {
        let taken = self.ports_taken.first();
        let taken = taken.map(|taken| format!("{taken}; stop that container, or give another port"));
        let missing = self.missing_external.first().map(|missing| {
            format!(
                "the {missing} is declared external and is not there; create it there, or take `external: true` out"
            )
        });
        taken.or(missing)
    }
}

impl ServiceSeen {
    /// Enough containers run as wanted.
    pub(super) fn satisfied(&self) -> bool {
        self.containers.iter().filter(|c| c.matches && c.up).count() >= self.replicas
    }

    /// The containers that are too many, or not as wanted.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &ContainerSeen> {
        let fine = |c: &&ContainerSeen| c.matches && c.up;
        let over = self.containers.iter().filter(fine).skip(self.replicas);
        self.containers.iter().filter(move |c| !fine(c)).chain(over)
    }
}

impl Action {
    /// # Errors
    /// Another version of this program planned it.
    pub(super) fn of(step: &Step) -> Result<Self, TargetError> {
        parse(&step.action, &step.key, "`dhow sync SERVICE ENVIRONMENT` plans it anew")
    }
}
