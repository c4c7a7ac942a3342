//! Where requests go: addresses of containers, for the proxy and for checks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dhow_core::fleet::Route;
use dhow_core::port::{CheckAddress, Context, Front, Rendered, TargetError};

use super::api::Facts;
use super::body::{Body, Seen};
use super::routes::RouteChange;
use super::site::Site;
use super::{ComposeTarget, error};

impl ComposeTarget {
    /// Sends requests to the containers that are not `old`, or back to these. Nothing where there is no proxy.
    pub(super) async fn route(
        &self,
        site: &Site,
        body: &Body,
        old: &[String],
        back: bool,
        context: &Context,
    ) -> Result<(), TargetError> {
        match self.route_change(site, body, old, back, context).await? {
            Some(change) if back => self.routes.undo(&change).await,
            Some(change) => self.routes.switch(&change).await,
            None => Ok(()),
        }
    }

    /// The change of routes; `None` where there is no proxy for it. Without old containers, those that run are the
    /// new ones on the way there, and the old ones on the way back.
    pub(super) async fn route_change(
        &self,
        site: &Site,
        body: &Body,
        old: &[String],
        back: bool,
        context: &Context,
    ) -> Result<Option<RouteChange>, TargetError> {
        let deployment = &context.rendered.deployment;
        let Some(route) = body.route.clone().filter(|r| self.routes.serves(deployment, &site.place(), r))
        else {
            return Ok(None);
        };
        let containers = site.api().await?.containers(&body.project).await?;
        let service = service_of(&route, containers.iter().map(|facts| &facts.service));
        let port = route.port.unwrap_or(80);
        let of = |is_old: bool| {
            let is = |facts: &&Facts| {
                Some(&facts.service) == service.as_ref()
                    && facts.running
                    && is_old == (old.contains(&facts.id) || (old.is_empty() && back))
            };
            containers.iter().filter(is).filter_map(|facts| inner(facts, port)).collect::<Vec<_>>()
        };
        let (old, new) = (of(true), of(false));
        Ok(Some(RouteChange {
            deployment: deployment.clone(),
            place: site.place(),
            route,
            old,
            new,
            hash: context.hash,
            rollout: context.rollout,
            epoch: context.epoch,
        }))
    }

    /// Where checks connect to, from here.
    pub(super) async fn address_at(
        &self,
        rendered: &Rendered,
        place: &dhow_core::port::Place,
        front: Front,
    ) -> Result<CheckAddress, TargetError> {
        let body = Body::of(rendered)?;
        let look = self.look(rendered, &body, place).await?;
        if front == Front::Door
            && let Some(route) = body.route.as_ref().filter(|_| look.seen.routed)
        {
            return self.routes.door(&rendered.deployment, place, route).await.map(CheckAddress::Tcp);
        }
        let wanted = |facts: &&Facts| {
            let matching = look.seen.services.get(&facts.service).into_iter().flat_map(|s| &s.containers);
            facts.running && matching.into_iter().any(|c| c.id == facts.id && c.matches)
        };
        let of_service = checked_service(&body, &look.seen, &look.facts);
        let mut running =
            look.facts.iter().filter(wanted).filter(|f| Some(&f.service) == of_service.as_ref());
        let Some(facts) = running.next_back() else {
            let told = match front {
                Front::Candidate => {
                    "the new containers replace the old ones, so there is none to check before"
                }
                Front::Door => "no container runs that checks could connect to",
            };
            return Ok(CheckAddress::Nowhere(told.to_owned()));
        };
        let port = body.route.as_ref().and_then(|route| route.port);
        let to = match front {
            Front::Door => published(facts, port).or_else(|| inner(facts, port?)),
            Front::Candidate => port.and_then(|port| inner(facts, port)).or_else(|| published(facts, port)),
        };
        let Some(to) = to else {
            let told = "has neither a published port nor a port in `route:`, so checks cannot connect to it";
            return Ok(CheckAddress::Nowhere(format!("{} {told}", facts.service)));
        };
        look.site.executor.forward_tcp(to).await.map(CheckAddress::Tcp).map_err(error::executor)
    }
}

/// The service behind a route: the one that it names, or the only one.
fn service_of<'a>(route: &Route, services: impl Iterator<Item = &'a String>) -> Option<String> {
    route.service.clone().or_else(|| {
        let mut all: Vec<&String> = services.collect();
        all.sort();
        all.dedup();
        if all.len() == 1 { all.pop().cloned() } else { None }
    })
}

/// The routed service, else the first with a published port, else the only one.
fn checked_service(body: &Body, seen: &Seen, facts: &[Facts]) -> Option<String> {
    let named = body.route.as_ref().and_then(|route| service_of(route, seen.services.keys()));
    let published =
        || facts.iter().find(|facts| !facts.published.is_empty()).map(|facts| facts.service.clone());
    named.or_else(published).or_else(|| seen.services.keys().next().cloned())
}

fn inner(facts: &Facts, port: u16) -> Option<SocketAddr> {
    let address =
        facts.addresses.iter().find(|address| address.is_ipv4()).or_else(|| facts.addresses.first())?;
    Some(SocketAddr::new(*address, port))
}

fn published(facts: &Facts, port: Option<u16>) -> Option<SocketAddr> {
    let (address, port) = match port {
        Some(port) => facts.published.get(&port)?,
        None => facts.published.values().next()?,
    };
    let address: IpAddr = address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = if address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address };
    Some(SocketAddr::new(address, *port))
}
