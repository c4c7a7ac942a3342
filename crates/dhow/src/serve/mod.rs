//! The control plane: adapters, engine and listeners, put together. `serve` and `demo` run the same.

pub mod config;
mod connections;
mod docker;
#[cfg(debug_assertions)]
mod fault;
mod registry;
mod secrets;
mod source;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use dhow_core::noun::TargetType;
use dhow_core::port::{BranchName, Clock, Store, StoreError, Target};
use dhow_engine::{Engine, Ports, SystemClock};
use dhow_git::{GitFleet, GitFleetConfig};
use dhow_registry::server;
use dhow_static::{Resources, Sites, StaticTarget, StaticTargetConfig};
use dhow_store::{SqliteStore, StateLock};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use config::FileConfig;
use connections::Bounded;
pub use source::Source;

/// What `serve` is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The fleet's repository.
    pub fleet: String,
    /// Its branch; none: the remote's HEAD.
    pub branch: Option<BranchName>,
    /// Where state is kept.
    pub state: PathBuf,
    /// Address of the API and the registry.
    pub listen: SocketAddr,
    /// Address of the sites.
    pub sites: SocketAddr,
    /// What the file of `--config` says.
    pub file: FileConfig,
}

/// A running control plane.
pub struct Server {
    /// The voyage.
    pub engine: Engine,
    /// Where the API and the registry listen.
    pub listen: SocketAddr,
    /// Where the sites are served.
    pub sites: SocketAddr,
    source: Source,
    stop: CancellationToken,
    tasks: TaskTracker,
    state: PathBuf,
    _lock: StateLock,
}

/// The file of the state directory that says where the API listens.
const LISTEN: &str = "listen";
/// How long a stop waits for steps that run; with [`CONNECTIONS`] it is below the 10 s that service managers wait.
const STEPS: Duration = Duration::from_secs(6);
/// How long a stop then waits for connections.
const CONNECTIONS: Duration = Duration::from_secs(3);

impl Server {
    /// Starts everything. When it returns, the listeners answer; the fleet is read right after.
    pub async fn start(config: Config) -> Result<Self> {
        let lock = StateLock::acquire(&config.state).map_err(|error| match error {
            StoreError::Held { .. } => {
                anyhow!("the state {error}; stop that `dhow serve`, or give another directory with --state")
            }
            error => error.into(),
        })?;
        let listener = bind(config.listen, "--listen").await?;
        let sites_listener = bind(config.sites, "--sites").await?;
        let (listen, sites_address) = (listener.local_addr()?, sites_listener.local_addr()?);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(config.state.join("dhow.db")).await?);
        #[cfg(debug_assertions)]
        let faults = fault::Faults::from_env()?;
        #[cfg(debug_assertions)]
        let store = faults.store(store);
        let tokens = dhow_web::Tokens::new(Arc::clone(&store));
        tokens.ensure_admin(&config.state).await?;

        let mut fleet = GitFleetConfig::new(config.fleet.clone(), config.state.join("fleet.git"));
        fleet.branch.clone_from(&config.branch);
        let fleet = Arc::new(GitFleet::open(fleet).await?);
        let own_secret = random_secret();
        let mut own_hosts = own_hosts(listen);
        own_hosts.extend(config.file.registry_hosts.iter().cloned());
        let settings = config.file.settings();
        let file = config.file.clone();
        let source = Source::new(config.file, &own_hosts, &reachable(listen).to_string(), &own_secret);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let places = docker::places(&file, &config.state, &source)?;
        let sites = Sites::default();
        let shares = connections::shares();
        let target = StaticTarget::open(StaticTargetConfig {
            root: config.state.join("static"),
            candidates: config.state.join("run"),
            sites: sites.clone(),
            sites_address,
            resources: Resources::new(shares.open),
            executors: Arc::clone(&places) as _,
        })
        .await?;
        let (compose, swarm) = docker::targets(&file, &places, &source)?;
        let targets: BTreeMap<TargetType, Arc<dyn Target>> = [
            (TargetType::StaticFile, Arc::new(target) as Arc<dyn Target>),
            (TargetType::Compose, Arc::new(compose)),
            (TargetType::Swarm, Arc::new(swarm)),
        ]
        .into();
        let ports = Ports { store, fleet, source: Arc::new(source.clone()), targets, clock };
        #[cfg(debug_assertions)]
        let ports = faults.ports(ports);
        let engine = Engine::open(ports, settings, &StateLock::me()).await?;
        source.follow(Some(engine.clone()));

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (registry, tags) =
            registry::open(&config.state.join("registry"), tokens.clone(), own_secret, &engine)?;
        tasks.spawn(registry::follow_tags(tags, engine.clone(), own_hosts, stop.clone()));
        tasks.spawn(registry::collect(registry.clone(), engine.clone(), stop.clone()));
        let control = crate::control::EngineControl::new(engine.clone(), source.clone());
        let api = dhow_web::router(dhow_web::AppState::new(Arc::new(control), tokens, stop.clone()));
        let listener = Bounded::new(listener, shares.api);
        tasks.spawn(answer(listener, api.merge(server::router(registry)), stop.clone()));
        tasks.spawn(dhow_static::web::serve(sites_listener, sites, shares.sites, stop.clone()));
        tasks.spawn(sail(engine.clone()));
        std::fs::write(config.state.join(LISTEN), format!("{listen}\n"))
            .with_context(|| format!("{} cannot be written", config.state.join(LISTEN).display()))?;
        Ok(Self {
            engine,
            listen,
            sites: sites_address,
            source,
            stop,
            tasks,
            state: config.state,
            _lock: lock,
        })
    }

    /// Where its state is kept.
    pub fn state(&self) -> &std::path::Path {
        &self.state
    }

    /// Stops: listeners first, then the voyage; what is open goes on at the next start.
    pub async fn stop(self) {
        // Whoever looks for us by the state directory should not be sent to another's port.
        if let Err(error) = std::fs::remove_file(self.state.join(LISTEN)) {
            tracing::warn!(%error, "{} could not be removed", self.state.join(LISTEN).display());
        }
        self.engine.stop(STEPS).await;
        self.source.follow(None);
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(CONNECTIONS, self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in {CONNECTIONS:?}; they are cut");
        }
    }
}

/// Answers for the API and the registry until it is told to stop, and those who asked before then.
async fn answer(listener: Bounded, app: axum::Router, stop: CancellationToken) {
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the API stopped");
    }
}

/// The voyage, until the engine is stopped.
async fn sail(engine: Engine) {
    if let Err(error) = engine.run().await {
        tracing::error!(%error, "the voyage cannot begin; mend it and start again");
    }
}

async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on; choose another address with {option}"))
}

/// The names by which our own registry stands in references.
fn own_hosts(listen: SocketAddr) -> Vec<String> {
    vec![listen.to_string(), format!("127.0.0.1:{}", listen.port()), format!("localhost:{}", listen.port())]
}

/// The address at which this process reaches its own listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A secret of this process alone: the engine's own way into the embedded registry.
fn random_secret() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    SecretString::from(format!("own_{}", hex::encode(bytes)))
}
