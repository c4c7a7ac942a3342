//! What stands in front of the sites: Caddy or Traefik, one file each.
//!
//! A rollout that serves without a gap goes: [`Switch::prepare`], [`Switch::switch`] (new beside old, then new alone),
//! checks through [`Proxy::front`], [`drain`] of the old ones; or [`Switch::undo`].
//! The proxy outlives Dhow: nothing here runs while no change is made. Who restarts it finds its routes again, or they
//! are set again by [`crate::front`].

mod admit;
mod caddy;
mod drain;
mod error;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod live;
mod site;
mod sockets;
mod switch;
mod traefik;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{ProxyKind, ProxySettings};
use dhow_core::noun::DeploymentId;
use dhow_core::port::Executor;

pub use admit::admit;
pub use drain::{Drained, Inside, Kernels, Leaving, drain};
pub use error::ProxyError;
pub use site::{Site, Upstream};
pub use switch::Switch;

/// What a call changed at the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing: it was so already.
    None,
    /// Where requests go, in passing: nothing was reloaded.
    Addresses,
    /// The proxy took a new configuration. At that, Caddy may reset connections that are only just made, ends idle ones,
    /// and ends the WebSockets of routes that have no `stream_close_delay`; ours have one.
    Configuration,
}

/// The proxy of one place.
///
/// *Guarantees*: every call may be repeated. A call that is cut off leaves the route as it was or as it was to be, and the
/// same call again ends it. What is not the deployment's own stays as it is, also when somebody else changes the proxy at
/// the same time. Nothing is cached: the proxy's own state is the truth.
#[async_trait]
pub trait Proxy: Send + Sync {
    /// The upstreams that a deployment's route has there, sorted by address; `None` where it has no route, as after a
    /// restart that forgot it. An empty list: it shows the maintenance page.
    async fn route(&self, deployment: &DeploymentId) -> Result<Option<Vec<Upstream>>, ProxyError>;

    /// What of exactly this route with exactly these upstreams the proxy does not have, in words; `None`: it has all.
    async fn lacks(&self, site: &Site, upstreams: &[Upstream]) -> Result<Option<String>, ProxyError>;

    /// The deployments that have a route there, by the names that routes have ([`route_name`]).
    async fn present(&self) -> Result<BTreeSet<String>, ProxyError>;

    /// Looks whether the proxy answers and would take the site's route, and changes nothing. Gives what people should know
    /// of it, in whole sentences: what a change of a route does to others, what does not outlive a restart.
    async fn look(&self, site: &Site) -> Result<Vec<String>, ProxyError>;

    /// Makes the deployment's route exactly this one, to exactly these upstreams; requests that are open to others go on.
    /// With none, visitors get a page with status 503. `Taken` where somebody else's route has the host.
    async fn set(&self, site: &Site, upstreams: &[Upstream]) -> Result<Change, ProxyError>;

    /// Takes every upstream but these out of the deployment's route, whatever else it says.
    async fn retain(&self, deployment: &DeploymentId, upstreams: &[SocketAddr])
    -> Result<Change, ProxyError>;

    /// Takes the deployment's route away.
    async fn remove(&self, deployment: &DeploymentId) -> Result<Change, ProxyError>;

    /// Returns once the proxy serves this very route with these very upstreams, as seen through its front door;
    /// `NotReady` after `limit`.
    async fn ready(&self, site: &Site, upstreams: &[Upstream], limit: Duration) -> Result<(), ProxyError>;

    /// Requests and WebSockets that are open to an upstream; `None` where this proxy does not count them.
    async fn open(&self, upstream: SocketAddr) -> Result<Option<u64>, ProxyError>;

    /// An address here that leads to where visitors of the site come in.
    async fn front(&self, site: &Site) -> Result<SocketAddr, ProxyError>;
}

/// The proxy that the settings name, at the executor's place. Says nothing to it yet.
pub fn at(settings: &ProxySettings, executor: Arc<dyn Executor>) -> Arc<dyn Proxy> {
    match settings.kind {
        ProxyKind::Caddy => Arc::new(caddy::Caddy::new(settings.clone(), executor)),
        ProxyKind::Traefik => Arc::new(traefik::Traefik::new(settings.clone(), executor)),
    }
}

/// The name of a deployment's route at any proxy.
pub fn route_name(deployment: &DeploymentId) -> String {
    site::name(deployment)
}
