//! What the target needs of a proxy, in its own words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use dhow_core::fleet::{Front, ProxySettings, Route};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};
use serde::{Deserialize, Serialize};

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
    /// All places of the deployment; empty: they are not known.
    pub places: Vec<Place>,
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

/// A proxy that was given a route, as a place notes it: the fleet may name another one by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Where it is.
    pub at: Place,
    /// What it is.
    pub settings: ProxySettings,
    /// The addresses of the places that shared it from elsewhere.
    pub shared: Vec<(Place, String)>,
}

impl Noted {
    /// It is the very program, with the same routes.
    pub fn is(&self, other: &Self) -> bool {
        let (one, two) = (&self.settings, &other.settings);
        self.at == other.at && (one.kind, &one.admin, &one.folder) == (two.kind, &two.admin, &two.folder)
    }

    /// As the fleet would name it for a place.
    pub(crate) fn front(&self, place: &Place) -> Front {
        let shared: BTreeMap<Place, String> = self.shared.iter().cloned().collect();
        let address = shared.get(place).cloned();
        Front { at: self.at.clone(), settings: self.settings.clone(), address, shared }
    }
}

impl From<Front> for Noted {
    fn from(front: Front) -> Self {
        Self { at: front.at, settings: front.settings, shared: front.shared.into_iter().collect() }
    }
}

/// A route ends at a place.
#[derive(Debug, Clone)]
pub struct RouteEnd {
    /// Whose route.
    pub deployment: DeploymentId,
    /// Where its containers run.
    pub place: Place,
    /// All places of the deployment; empty: they are not known.
    pub places: Vec<Place>,
    /// The proxy that has the route; none: the one that the fleet names.
    pub proxy: Option<Noted>,
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

    /// The proxy in front of a place, with what it shares among these places, for a note of who was given a route.
    fn proxy(&self, place: &Place, places: &[Place]) -> Option<Noted>;

    /// What people should know of each deploy through this proxy, as far as its settings show it.
    fn warns(&self, place: &Place) -> Option<String>;

    /// Looks whether the proxy can take the change; changes nothing.
    async fn prepare(&self, change: &RouteChange) -> Result<Prepared, TargetError>;

    /// New requests go to the new containers; open ones go on. A crash leaves the old, both, or the new ones.
    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// New requests go to the old containers again.
    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// The route leads to none of the place's containers for a while: where it leads nowhere else, visitors read that the
    /// site is worked on (503, `Retry-After`). [`Routes::switch`] or [`Routes::undo`] ends it.
    async fn suspend(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// Returns when no request is open at the old containers, or their time is over; and says what was cut off then.
    async fn drain(&self, change: &RouteChange) -> Result<Option<String>, TargetError>;

    /// The route leads to nothing at this place any more; where it leads nowhere then, it is gone.
    async fn remove(&self, end: &RouteEnd) -> Result<(), TargetError>;

    /// What of the route to the new containers the proxy does not have, in words; `None`: it has all. Changes nothing.
    async fn lacks(&self, change: &RouteChange) -> Result<Option<String>, TargetError>;

    /// A number that rises with each change of a route: taken before somebody looks at what runs.
    fn ticket(&self) -> u64;

    /// From now on the proxy is looked at, and where it loses this route to the new containers, it gets it again; unless
    /// the route was changed since the ticket was taken.
    fn keep(&self, change: RouteChange, ticket: u64);

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

    fn proxy(&self, _: &Place, _: &[Place]) -> Option<Noted> {
        None
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

    async fn suspend(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn drain(&self, _: &RouteChange) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    async fn remove(&self, _: &RouteEnd) -> Result<(), TargetError> {
        Ok(())
    }

    async fn lacks(&self, _: &RouteChange) -> Result<Option<String>, TargetError> {
        Ok(None)
    }

    fn ticket(&self) -> u64 {
        0
    }

    fn keep(&self, _: RouteChange, _: u64) {}

    async fn door(&self, deployment: &DeploymentId, _: &Place, _: &Route) -> Result<SocketAddr, TargetError> {
        Err(TargetError::Blocked(format!("{deployment} has a route and there is no proxy for it")))
    }
}
