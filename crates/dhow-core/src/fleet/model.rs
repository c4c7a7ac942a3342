//! What a fleet declares, after aliases and defaults: the values that the rest of Dhow reads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::CheckSpec;
use super::gate::{Approvals, UpdateMode, Window};
use super::load::Index;
use super::networks::Isolation;
use super::proxy::{Front, ProxyAt, ProxySettings};
use super::route::Route;
use super::sites::VersionSite;
use super::strategy::Strategy;
use crate::diagnostic::Diagnostic;
use crate::noun::{
    ArtifactName, DeploymentId, EnvironmentName, ImageReference, PersonName, Repository, ServerName,
    ServiceName,
};
use crate::policy::Rule;
use crate::port::Place;

/// A whole fleet at one commit. Parts are shared between the fleets of successive commits.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Every environment that is declared or that a deployment is in.
    pub environments: BTreeMap<EnvironmentName, Arc<Environment>>,
    /// Every service that has a folder, a file or a deployment.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// Every deployment that could be read. Templates of pull requests are in [`Fleet::templates`].
    pub deployments: BTreeMap<DeploymentId, Arc<Deployment>>,
    /// Deployments of the environment `pull_request`: validated, never rolled out by sync.
    pub templates: BTreeMap<DeploymentId, Arc<Deployment>>,
    /// What could not be read: these stay frozen at their last good release and are never taken for removed.
    pub broken: BTreeMap<DeploymentId, Vec<Diagnostic>>,
    /// Services whose own file is broken: everything of them is frozen.
    pub broken_services: BTreeSet<ServiceName>,
    /// The root file is broken: nothing new is believed until it is mended.
    pub broken_root: bool,
    /// Who is who.
    pub people: BTreeMap<PersonName, Person>,
    /// Per registry host, what the fleet says of it.
    pub registries: BTreeMap<String, RegistrySettings>,
    /// Servers by name.
    pub servers: BTreeMap<ServerName, Server>,
    /// The proxy of this machine, and of every server that names none.
    pub proxy: Option<ProxySettings>,
    /// Everything that is to be said of the tree, errors and warnings, in the order of files.
    pub diagnostics: Vec<Diagnostic>,
    /// Files in which versions stand for more than one service or environment: nothing is edited there.
    pub shared_files: BTreeSet<String>,
    /// What [`super::reload`] shares with the next fleet, and who reads which file.
    pub index: Arc<Index>,
}

impl Fleet {
    /// The environment that a spelling means here: `prod` is `production` unless the fleet tells the two apart.
    pub fn environment(&self, spelled: &EnvironmentName) -> EnvironmentName {
        self.index.aliases.meant(spelled)
    }

    /// The proxy in front of a place.
    pub fn front(&self, place: &Place) -> Option<Front> {
        Front::of(place, &self.servers, self.proxy.as_ref())
    }
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// Where its versions come from, by promotion.
    pub from: Option<EnvironmentName>,
    /// How long a release must have been healthy in `from`.
    pub soak: Duration,
    /// How Dhow's updates enter it.
    pub update: UpdateMode,
    /// Who must agree.
    pub approvals: Option<Approvals>,
    /// When a change may enter it.
    pub window: Option<Window>,
}

impl Environment {
    /// An environment that no file declares: `update: commit`, no gates.
    pub fn undeclared(name: EnvironmentName) -> Self {
        Self {
            name,
            from: None,
            soak: Duration::ZERO,
            update: UpdateMode::Commit,
            approvals: None,
            window: None,
        }
    }

    /// Whether a rollout here waits for approvals, whatever way its change came (design rule 5.1).
    pub fn effective_approvals(&self) -> Option<Approvals> {
        match (&self.approvals, self.update) {
            (Some(approvals), _) => Some(approvals.clone()),
            // Pull requests cannot be made yet: until then a person says yes to a proposal.
            (None, UpdateMode::Approval | UpdateMode::PullRequest) => Some(Approvals::any_one()),
            (None, UpdateMode::Commit) => None,
        }
    }
}

/// What a person is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Author e-mails of commits.
    pub emails: Vec<String>,
    /// Account on the forge.
    pub forge: Option<String>,
}

/// A reference to a secret. It says where the secret is, never what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretReference {
    /// `env:NAME`.
    Env(String),
    /// `file:PATH`.
    File(String),
    /// `command:NAME`.
    Command(String),
}

/// What the fleet says of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// Which secret opens it, as `user:password` or a token.
    pub credentials: Option<SecretReference>,
    /// Path in the fleet of a private certificate authority, PEM.
    pub ca: Option<String>,
    /// Plain HTTP is allowed although the host is not loopback.
    pub plain_http: bool,
    /// How many calls it bears at once; `None`: the default, 10.
    pub calls: Option<u32>,
}

/// A server of the fleet. Read and validated; used where a target runs on servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `user@host[:port]`.
    pub ssh: String,
    /// The host on the way there.
    pub jump: Option<Jump>,
    /// Name of the key, as `identities` of serve's configuration has it; none: the agent's keys.
    pub identity: Option<String>,
    /// Fingerprint of its host key, `SHA256:...`; none: what `dhow server add` accepted.
    pub fingerprint: Option<String>,
    /// Environments whose deployments run here when their files name no server.
    pub environments: Vec<EnvironmentName>,
    /// What people want to know of it.
    pub labels: BTreeMap<String, String>,
    /// Its proxy; none: the fleet's, or the one that [`Server::proxy_at`] names.
    pub proxy: Option<ProxySettings>,
    /// Where the proxy is that leads to what runs here, if it is elsewhere.
    pub proxy_at: Option<ProxyAt>,
    /// How the place of that proxy reaches this server: an IP address or a name; none: the host of `ssh`.
    pub address: Option<String>,
}

/// A host on the way to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jump {
    /// Another server of the fleet, reached as the fleet says.
    Server(ServerName),
    /// `user@host[:port]`, with the server's own key.
    Address(String),
}

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Who answers for it.
    pub owners: Vec<PersonName>,
    /// What it runs.
    pub artifacts: BTreeMap<ArtifactName, Box<Artifact>>,
    /// Other rules for the artifacts in some environments.
    pub overrides: BTreeMap<EnvironmentName, BTreeMap<ArtifactName, Rule>>,
    /// Services that must be healthy first.
    pub after: Vec<ServiceName>,
    /// Checks of every deployment that has none of its own.
    pub checks: Vec<CheckSpec>,
}

impl Service {
    /// The rule that selects this artifact in this environment.
    pub fn rule(&self, environment: &EnvironmentName, artifact: &ArtifactName) -> Option<&Rule> {
        self.overrides
            .get(environment)
            .and_then(|rules| rules.get(artifact))
            .or_else(|| self.artifacts.get(artifact).and_then(|a| a.rule.as_ref()))
    }
}

/// One artifact of a service.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its name.
    pub name: ArtifactName,
    /// An image, or a bundle of files.
    pub kind: ArtifactKind,
    /// Where its versions lie.
    pub repository: Repository,
    /// Which version is wanted; none: it is pinned by people only.
    pub rule: Option<Rule>,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// An OCI image.
    Image,
    /// A bundle of files.
    Bundle,
}

/// One deployment as its folder declares it.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its identity.
    pub id: DeploymentId,
    /// Its folder, relative to the fleet's root, without a slash at either end; empty for the root itself.
    pub folder: String,
    /// The environment as the folder spells it (`prod`): engine names keep it.
    pub spelled_environment: String,
    /// The files of the folder that belong to this deployment, relative to the fleet's root, sorted.
    pub files: Vec<String>,
    /// Files elsewhere in the fleet that it depends on, relative to the fleet's root, sorted.
    pub dependencies: Vec<String>,
    /// Its own settings.
    pub settings: DeploymentSettings,
    /// Where versions of artifacts stand in its files.
    pub sites: Vec<VersionSite>,
}

impl Deployment {
    /// Where it runs: its servers in their order, else this machine.
    pub fn places(&self) -> Vec<Place> {
        match self.settings.servers.is_empty() {
            true => vec![Place::Local],
            false => self.settings.servers.iter().cloned().map(Place::Server).collect(),
        }
    }

    /// The Compose project or Swarm stack: `<environment>_<service>` as the folder spells them, unless `project:`
    /// says otherwise; lower case, and only what Compose allows in a project name.
    pub fn project(&self) -> String {
        let name = match &self.settings.project {
            Some(project) => project.clone(),
            None => format!("{}_{}", self.spelled_environment, self.id.service),
        };
        name.chars()
            .map(|c| c.to_ascii_lowercase())
            .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
            .collect()
    }
}

/// What a deployment's `dhow.yaml` or `sami.yaml` sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentSettings {
    /// The engine's name of it, set by hand.
    pub project: Option<String>,
    /// Servers it runs on; empty: those of its environment, else this machine.
    pub servers: Vec<ServerName>,
    /// On how many of them at once; none: one after another.
    pub parallel: Option<u32>,
    /// The bundle it serves (type `static_file`).
    pub bundle: Option<ImageReference>,
    /// How it is reached.
    pub route: Option<Route>,
    /// How it is updated, where it is not left to the rules.
    pub strategy: Option<Strategy>,
    /// Networks of its own, as its file says; none: as the fleet says.
    pub isolated: Option<bool>,
    /// What that means for it in this fleet.
    pub isolation: Isolation,
    /// Its own checks; empty: the service's, else the default of the type.
    pub checks: Vec<CheckSpec>,
    /// What degraded health does.
    pub rollback_on_degraded: bool,
    /// `static_file`: the page for what is not there; default `404.html` where there is one.
    pub not_found: Option<String>,
    /// `static_file`: the page for paths that a single-page application resolves itself.
    pub fallback: Option<String>,
    /// `static_file`: more host names.
    pub hosts: Vec<String>,
    /// `static_file` on servers: the folder there that holds the releases and the link `current`, absolute; none: one of
    /// Dhow's own.
    pub directory: Option<String>,
    /// `static_file` on servers: where the server's own web server answers, as seen from there.
    pub front: Option<SocketAddr>,
    /// `sami.yaml`: previews of pull requests.
    pub pr_deploy: bool,
    /// `sami.yaml`: where versions stand that nothing else finds.
    pub oob: Vec<OobPath>,
    /// The files to deploy, where they are named.
    pub named_files: Vec<String>,
    /// Identity that this deployment had before its folder was renamed.
    pub moved_from: Option<DeploymentId>,
}

/// `oob: [{update-image: {file, path}}]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OobPath {
    /// The file, relative to the fleet's root.
    pub file: String,
    /// The path of the scalar in it, as written.
    pub path: String,
}
