//! What the target needs of a proxy, in its own words.

use std::net::SocketAddr;

use async_trait::async_trait;
use dhow_core::fleet::{DesiredHash, Route};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

/// Requests go from some containers to others.
#[derive(Debug, Clone)]
pub struct RouteChange {
    /// Whose route.
    pub deployment: DeploymentId,
    /// Where its containers run.
    pub place: Place,
    /// The route.
    pub route: Route,
    /// The containers that served until now, as the place reaches them.
    pub old: Vec<SocketAddr>,
    /// The containers that are to serve, as the place reaches them.
    pub new: Vec<SocketAddr>,
    /// The release that they run.
    pub hash: DesiredHash,
    /// Number of the rollout.
    pub rollout: u64,
    /// Epoch of the lease.
    pub epoch: u64,
}

/// The proxy in front of routed deployments. Every method may be called again with the same outcome.
#[async_trait]
pub trait Routes: Send + Sync {
    /// Requests for this route go through the proxy. If not, its containers are never updated beside each other.
    fn serves(&self, deployment: &DeploymentId, place: &Place, route: &Route) -> bool;

    /// Looks whether the proxy can take the change; changes nothing that a visitor sees.
    async fn prepare(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// New requests go to the new containers; open ones go on. A crash leaves all to the old or all to the new.
    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// New requests go to the old containers again.
    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// Returns when no request is open at the old containers, or their time is over.
    async fn drain(&self, change: &RouteChange) -> Result<(), TargetError>;

    /// The route is gone.
    async fn remove(&self, deployment: &DeploymentId, place: &Place, epoch: u64) -> Result<(), TargetError>;

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
    fn serves(&self, _: &DeploymentId, _: &Place, _: &Route) -> bool {
        false
    }

    async fn prepare(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn switch(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn undo(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn drain(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn remove(&self, _: &DeploymentId, _: &Place, _: u64) -> Result<(), TargetError> {
        Ok(())
    }

    async fn door(&self, deployment: &DeploymentId, _: &Place, _: &Route) -> Result<SocketAddr, TargetError> {
        Err(TargetError::Blocked(format!("{deployment} has a route and there is no proxy for it")))
    }
}
