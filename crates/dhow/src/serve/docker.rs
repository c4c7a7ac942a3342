//! Docker: the places where containers run, and the logins for pulls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use dhow_core::fleet::{Front, ProxySettings, SecretReference, Server};
use dhow_core::noun::ServerName;
use dhow_core::port::{Place, TargetError};
use dhow_core::yaml::{Node, Reader};
use dhow_docker::compose::{ComposeTarget, DiskLimits, Login, Logins, Options};
use dhow_docker::executor::{Places, PlacesConfig};
use dhow_docker::front::{Fronts, FrontsConfig, Secrets};
use dhow_docker::swarm::SwarmTarget;
use dhow_registry::client::Credentials;
use secrecy::SecretString;

use super::config::FileConfig;
use super::secrets;
use super::source::Source;

/// The keys of `docker`.
const KEYS: [&str; 6] = ["stable", "start", "allow_build", "nearly_full", "keep_free", "pull_needs"];
/// Most GiB that may be asked to be free.
const MOST_GIB: u32 = 1 << 20;
/// Longest time that may be waited.
const LONGEST: Duration = Duration::from_secs(3600);

/// How Docker deployments are run, as `docker` in `--config` says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerConfig {
    /// How long a release must stay up before it counts as running.
    pub stable: Option<Duration>,
    /// How long containers may take until they are healthy.
    pub start: Option<Duration>,
    /// `build:` is allowed: images are built where they run.
    pub allow_build: bool,
    /// Percent of a disk in use from which on it is nearly full.
    pub nearly_full: Option<u32>,
    /// GiB free below which a disk is nearly full.
    pub keep_free: Option<u32>,
    /// GiB that must be free for a pull.
    pub pull_needs: Option<u32>,
}

impl DockerConfig {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Self {
        let fields = reader.fields(node, "docker", &KEYS);
        let mut time = |key| fields.get(key).and_then(|node| reader.duration(node, key, LONGEST));
        let (stable, start) = (time("stable"), time("start"));
        let allow_build = fields.get("allow_build").and_then(|node| reader.boolean(node, "allow_build"));
        let mut number = |key, most| {
            let node = fields.get(key)?;
            reader.number(node, key, 0..=most)
        };
        Self {
            stable,
            start,
            allow_build: allow_build.unwrap_or(false),
            nearly_full: number("nearly_full", 100),
            keep_free: number("keep_free", MOST_GIB),
            pull_needs: number("pull_needs", MOST_GIB),
        }
    }

    /// What the targets are told. `host` is `DOCKER_HOST`, which names the engine of this machine.
    ///
    /// # Errors
    /// `DOCKER_HOST` is no unix socket.
    fn options(&self, host: Option<&str>) -> Result<Options> {
        let usual = Options::default();
        let local_socket = match host {
            None => usual.local_socket,
            Some(host) => host.strip_prefix("unix://").map(str::to_owned).with_context(|| {
                format!(
                    "DOCKER_HOST is {host}; expected unix://PATH. Other machines are servers of the fleet"
                )
            })?,
        };
        Ok(Options {
            local_socket,
            stable: self.stable.unwrap_or(usual.stable),
            start: self.start.unwrap_or(usual.start),
            allow_build: self.allow_build,
            disk: DiskLimits {
                used_percent: self.nearly_full.map_or(usual.disk.used_percent, u64::from),
                free: self.keep_free.map_or(usual.disk.free, gib),
                pull: self.pull_needs.map_or(usual.disk.pull, gib),
            },
            ..Options::default()
        })
    }
}

fn gib(count: u32) -> u64 {
    u64::from(count) << 30
}

/// This machine and the servers of the fleet's head, for all targets: one connection a server. Nothing is connected yet.
pub fn places(config: &FileConfig, state: &Path, source: &Source) -> Result<Arc<Places>> {
    let state = std::path::absolute(state).context("the state directory has no absolute path")?;
    let servers = source.clone();
    let places = Places::new(PlacesConfig {
        home: state.join("place"),
        known_hosts: state.join("known_hosts"),
        identities: config.identities.clone(),
        servers: Arc::new(move || servers.servers().servers),
    })?;
    Ok(Arc::new(places))
}

/// The targets `compose` and `swarm`.
pub fn targets(
    config: &FileConfig,
    places: &Arc<Places>,
    source: &Source,
) -> Result<(ComposeTarget, SwarmTarget)> {
    let places = Arc::clone(places);
    let logins = Arc::new(PullLogins { source: source.clone() });
    let (heads, leases) = (source.clone(), source.clone());
    let routes = Fronts::new(FrontsConfig {
        executors: places.clone(),
        fronts: Arc::new(move |place| heads.servers().front(place)),
        secrets: Arc::new(RouteSecrets { config: config.clone() }),
        epoch: Arc::new(move || leases.epoch()),
        ready: PROXY_READY,
        pause: PROXY_PAUSE,
    });
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let options = config.docker.options(host.as_deref())?;
    let swarm = SwarmTarget::new(places.clone(), logins.clone(), options.clone());
    Ok((ComposeTarget::new(places, Arc::new(routes), logins, options), swarm))
}

/// How long a proxy may take until it serves what it was told: Traefik takes 2 s unless it is set up otherwise.
const PROXY_READY: Duration = Duration::from_secs(30);
/// How often proxies are asked whether they have lost a route.
const PROXY_PAUSE: Duration = Duration::from_secs(3);

/// A route's hash of a password is a secret that may be used for the route's host.
struct RouteSecrets {
    config: FileConfig,
}

#[async_trait]
impl Secrets for RouteSecrets {
    async fn secret(&self, reference: &SecretReference, host: &str) -> Result<SecretString, String> {
        secrets::resolve(&self.config, reference, host).await
    }
}

/// A login for a pull is what the versions are read with: the fleet's reference, where `--config` allows it.
struct PullLogins {
    source: Source,
}

#[async_trait]
impl Logins for PullLogins {
    async fn login(&self, registry: &str) -> Result<Option<Login>, TargetError> {
        let credentials = self.source.credentials(registry).await.map_err(TargetError::Blocked)?;
        Ok(credentials.map(|credentials| match credentials {
            Credentials::Basic { user, password } => Login { user, password },
            Credentials::Bearer(secret) | Credentials::Identity(secret) | Credentials::Dhow(secret) => {
                Login { user: "token".into(), password: secret }
            }
        }))
    }
}

/// What the fleet said of its places when its root file could last be read.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// The servers.
    pub servers: BTreeMap<ServerName, Server>,
    /// The proxy of this machine, and of servers that name none.
    pub proxy: Option<ProxySettings>,
}

impl Servers {
    /// The proxy in front of a place.
    fn front(&self, place: &Place) -> Option<Front> {
        Front::of(place, &self.servers, self.proxy.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_disks_are_in_gib_and_as_by_default_where_nothing_is_said() {
        let config = DockerConfig { pull_needs: Some(5), ..DockerConfig::default() };
        let limits = config.options(None).unwrap().disk;
        assert_eq!(limits, DiskLimits { pull: 5 << 30, ..DiskLimits::default() });
    }

    #[test]
    fn docker_host_names_the_engine_of_this_machine_only() {
        let config = DockerConfig::default();
        let options = config.options(Some("unix:///run/user/1000/docker.sock")).unwrap();
        assert_eq!(options.local_socket, "/run/user/1000/docker.sock");
        assert_eq!(options.socket, Options::default().socket);
        let told = config.options(Some("tcp://10.0.0.1:2375")).unwrap_err().to_string();
        assert!(told.contains("expected unix://PATH"), "{told}");
    }
}
