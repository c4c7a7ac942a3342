use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use dhow_core::fleet::Route;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};
use dhow_docker::compose::{RouteChange, Routes};

/// A proxy that is a table.
#[derive(Default)]
pub struct Upstreams(pub Mutex<BTreeMap<DeploymentId, Vec<SocketAddr>>>);

#[async_trait]
impl Routes for Upstreams {
    fn serves(&self, _: &DeploymentId, _: &Place, _: &Route) -> bool {
        true
    }

    async fn prepare(&self, _: &RouteChange) -> Result<(), TargetError> {
        Ok(())
    }

    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError> {
        self.0.lock().unwrap().insert(change.deployment.clone(), change.new.clone());
        Ok(())
    }

    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError> {
        self.0.lock().unwrap().insert(change.deployment.clone(), change.old.clone());
        Ok(())
    }

    async fn drain(&self, change: &RouteChange) -> Result<(), TargetError> {
        let table = self.0.lock().unwrap();
        assert!(table[&change.deployment].iter().all(|to| !change.old.contains(to)), "old ones still serve");
        Ok(())
    }

    async fn remove(&self, deployment: &DeploymentId, _: &Place, _: u64) -> Result<(), TargetError> {
        self.0.lock().unwrap().remove(deployment);
        Ok(())
    }

    async fn door(&self, deployment: &DeploymentId, _: &Place, _: &Route) -> Result<SocketAddr, TargetError> {
        Ok(self.0.lock().unwrap()[deployment][0])
    }
}
