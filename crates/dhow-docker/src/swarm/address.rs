//! Where checks connect to: a published port of the service, on a node that has it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::models::TaskState;
use dhow_core::port::{CheckAddress, Front, Place, Rendered, TargetError};

use super::SwarmTarget;
use super::api::{NodeFacts, Port, ServiceFacts, TaskFacts};
use super::body::Body;
use super::ipvs;
use crate::engine::error;

impl SwarmTarget {
    /// Where checks connect to, from here.
    pub(super) async fn address_at(
        &self,
        rendered: &Rendered,
        place: &Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError> {
        if front == Front::Candidate {
            let told = "Swarm replaces tasks by itself, so there is no candidate to check before";
            return Ok(CheckAddress::Nowhere(told.to_owned()));
        }
        let body = Body::of(rendered)?;
        let site = self.site(&rendered.deployment, place).await?;
        let api = site.api().await?;
        let (services, tasks) = api.stack(&body.stack).await?;
        let Some(service) = checked(&body, &services) else {
            return Ok(CheckAddress::Nowhere("no service of the stack has a published port".to_owned()));
        };
        let wanted = body.route.as_ref().and_then(|route| route.port);
        let fits = |port: &&Port| port.tcp && wanted.is_none_or(|wanted| port.target == wanted);
        if let Some(port) = service.ports.iter().filter(|port| !port.host).find(fits) {
            if !ipvs::there(&site).await? {
                return Ok(CheckAddress::Nowhere(ipvs::told(&service.name, port.published.into())));
            }
            let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.published);
            return site.executor.forward_tcp(to).await.map(CheckAddress::Tcp).map_err(error::executor);
        }
        let (own, nodes) = (api.own_node().await?, api.nodes().await?);
        let live = tasks.iter().rev().filter(|task| {
            task.service_id == service.id
                && task.made_of == service.tasks_of
                && task.state == TaskState::RUNNING
                && task.desired == TaskState::RUNNING
        });
        let to = live.filter_map(|task| host_port(service, task, fits, &own, &nodes)).next();
        let Some(to) = to else {
            let told = "has no running task with a published port that checks could connect to";
            return Ok(CheckAddress::Nowhere(format!("{} {told}", service.name)));
        };
        site.executor.forward_tcp(to).await.map(CheckAddress::Tcp).map_err(error::executor)
    }
}

/// The routed service, else the first with a published port.
fn checked<'a>(body: &Body, services: &'a [ServiceFacts]) -> Option<&'a ServiceFacts> {
    let named = body.route.as_ref().and_then(|route| route.service.as_ref());
    match named {
        Some(name) => services.iter().find(|service| service.name == *name),
        None => services.iter().find(|service| service.ports.iter().any(|port| port.tcp)),
    }
}

/// A port in host mode, at the node that the task runs on. What the task reports tells ports that were not fixed.
fn host_port(
    service: &ServiceFacts,
    task: &TaskFacts,
    fits: impl Fn(&&Port) -> bool,
    own: &str,
    nodes: &[NodeFacts],
) -> Option<SocketAddr> {
    let known = if task.ports.is_empty() { &service.ports } else { &task.ports };
    let port = known.iter().filter(|port| port.host && port.published > 0).find(fits)?;
    let node = task.node.as_deref()?;
    let address: IpAddr = match node == own {
        true => Ipv4Addr::LOCALHOST.into(),
        false => nodes.iter().find(|known| known.id == node)?.address.parse().ok()?,
    };
    Some(SocketAddr::new(address, port.published))
}
