use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use dhow_core::fleet::Route;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};
use dhow_docker::compose::{Instance, Noted, Prepared, RouteChange, RouteEnd, Routes};

/// A proxy that is a table; and what was drained last.
#[derive(Default)]
pub struct Upstreams(pub Mutex<BTreeMap<DeploymentId, Vec<SocketAddr>>>, pub Mutex<Vec<SocketAddr>>);

#[async_trait]
impl Routes for Upstreams {
    fn serves(&self, _: &Place) -> bool {
        true
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

    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError> {
        self.0.lock().unwrap().insert(change.deployment.clone(), addresses(&change.new));
        Ok(())
    }

    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError> {
        self.0.lock().unwrap().insert(change.deployment.clone(), addresses(&change.old));
        Ok(())
    }

    async fn suspend(&self, change: &RouteChange) -> Result<(), TargetError> {
        self.0.lock().unwrap().insert(change.deployment.clone(), Vec::new());
        Ok(())
    }

    async fn drain(&self, change: &RouteChange) -> Result<Option<String>, TargetError> {
        let (table, old) = (self.0.lock().unwrap(), addresses(&change.old));
        assert!(table[&change.deployment].iter().all(|to| !old.contains(to)), "old ones still serve");
        *self.1.lock().unwrap() = old;
        Ok(None)
    }

    async fn lacks(&self, change: &RouteChange) -> Result<Option<String>, TargetError> {
        let there = self.0.lock().unwrap().get(&change.deployment) == Some(&addresses(&change.new));
        Ok((!there).then(|| "it is not in the table".to_owned()))
    }

    fn ticket(&self) -> u64 {
        0
    }

    fn keep(&self, _: RouteChange, _: u64) {}

    async fn remove(&self, end: &RouteEnd) -> Result<(), TargetError> {
        self.0.lock().unwrap().remove(&end.deployment);
        Ok(())
    }

    async fn door(&self, deployment: &DeploymentId, _: &Place, _: &Route) -> Result<SocketAddr, TargetError> {
        Ok(self.0.lock().unwrap()[deployment][0])
    }
}

fn addresses(instances: &[Instance]) -> Vec<SocketAddr> {
    instances.iter().filter_map(|instance| instance.address(None)).collect()
}
