//! What the target needs of a proxy, in its own words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use dhow_core::fleet::Route;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

/// A container behind a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its addresses as its own place reaches them, by network.
    pub addresses: BTreeMap<String, IpAddr>,
    /// The port of the route.
    pub port: u16,
    /// Where this port is published at its place.
    pub published: Option<SocketAddr>,
    /// A process of it, as its place numbers them.
    pub pid: Option<u32>,
}

impl Instance {
    /// Where its place reaches it: in this network, if it is in it; else in any, IPv4 first.
    pub fn address(&self, network: Option<&str>) -> Option<SocketAddr> {
        let named = network.and_then(|name| self.addresses.get(name));
        let first = || self.addresses.values().find(|address| address.is_ipv4());
        let address = named.or_else(first).or_else(|| self.addresses.values().next())?;
        Some(SocketAddr::new(*address, self.port))
    }
}

/// Requests go from some containers to others.
#[derive(Debug, Clone)]
pub struct RouteChange {
    /// Whose route.
    pub deployment: DeploymentId,
    /// Where its containers run.
    pub place: Place,
    /// The route as it is to be.
    pub route: Route,
    /// The containers that served until now.
    pub old: Vec<Instance>,
    /// The containers that are to serve.
    pub new: Vec<Instance>,
    /// Number of the rollout.
    pub rollout: u64,
    /// Epoch of the lease.
    pub epoch: u64,
}

/// Whether new containers can be put behind the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// They can. What people should know of it, in sentences.
    Ready(Vec<String>),
    /// One of them does not take connections yet, and why.
    NotListening(String),
}

/// The proxy in front of routed deployments. Every method may be called again with the same outcome.
#[async_trait]
pub trait Routes: Send + Sync {
    /// Requests to what runs at a place go through a proxy. If not, its containers are never updated beside each other.
    fn serves(&self, place: &Place) -> bool;

    /// What people should know of each deploy through this proxy, as far as its settings show it.
    fn warns(&self, place: &Place) -> Option<String>;

    /// Looks whether the proxy can take the change; changes nothing.
    async fn prepare(&self, change: &RouteChange) -> Result<Prepared, TargetError>;

    /// New requests go to the new containers; open ones go on. A crash leaves the old, both, or the new ones.
    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// New requests go to the old containers again.
    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// Returns when no request is open at the old containers, or their time is over; and says what was cut off then.
    async fn drain(&self, change: &RouteChange) -> Result<Option<String>, TargetError>;

    /// The route leads to nothing at this place any more; where it leads nowhere then, it is gone.
    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError>;

    /// What of the route to the new containers the proxy does not have, in words; `None`: it has all. Changes nothing.
    async fn lacks(&self, change: &RouteChange) -> Result<Option<String>, TargetError>;

    /// From now on the proxy is looked at, and where it loses this route to the new containers, it gets it again.
    fn keep(&self, change: RouteChange);

    /// Where checks through the front door connect to.
    async fn door(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        route: &Route,
    ) -> Result<SocketAddr, TargetError>;
}

/// No proxy: nothing is routed.
pub struct Unrouted;

#[async_trait]
impl Routes for Unrouted {
    fn serves(&self, _: &Place) -> bool {
        false
    }

    fn warns(&self, _: &Place) -> Option<String> {
        None
    }

    async fn prepare(&self, _: &RouteChange) -> Result<Prepared, TargetError> {
        Ok(Prepared::Ready(Vec::new()))
    }

    async fn switch(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn undo(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn drain(&self, _: &RouteChange) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    async fn remove(&self, _: &DeploymentId, _: &Place, _: u64) -> Result<(), TargetError> {
        Ok(())
    }

    async fn lacks(&self, _: &RouteChange) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    fn keep(&self, _: RouteChange) {}

    async fn door(&self, deployment: &DeploymentId, _: &Place, _: &Route) -> Result<SocketAddr, TargetError> {
        Err(TargetError::Blocked(format!("{deployment} has a route and there is no proxy for it")))
    }
}
