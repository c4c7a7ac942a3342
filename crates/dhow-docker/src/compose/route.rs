//! Where requests go: addresses of containers, for the proxy and for checks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use dhow_core::fleet::{Route, Tls};
use dhow_core::port::{CheckAddress, Context, Front, Rendered, Stream, TargetError};

use super::api::Facts;
use super::body::{Beside, Body, Change, ContainerSeen, Seen, ServiceSeen};
use super::observe::Look;
use super::routes::{Instance, Noted, RouteChange, RouteEnd};
use super::site::Site;
use super::{ComposeTarget, error};

impl ComposeTarget {
    /// Sends requests to the containers that are not `old`. Without a route, the proxy loses the one that it was given.
    pub(super) async fn route(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        old: &[String],
        context: &Context,
    ) -> Result<(), TargetError> {
        let had = change.current.as_ref().and_then(|current| current.route.as_ref());
        match self.route_change(site, body, (had, old), context).await? {
            Some(to) => self.routes.switch(&to).await,
            // The proxy that has it loses it: the fleet may name none any more.
            None if change.current.as_ref().is_some_and(|current| current.route.is_some()) => {
                let noted = change.current.as_ref().and_then(|current| current.proxy.clone());
                self.routes.remove(&end(site, noted, context)).await
            }
            None => Ok(()),
        }
    }

    /// Sends requests to the containers that ran before, by the route that the proxy had.
    pub(super) async fn route_back(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        ran: impl Fn(&Facts) -> bool,
        context: &Context,
    ) -> Result<(), TargetError> {
        let had = change.current.as_ref().and_then(|current| current.route.clone());
        if !self.routes.serves(&site.place()) || (had.is_none() && body.route.is_none()) {
            return Ok(());
        }
        let Some(route) = had else {
            return self.routes.remove(&end(site, None, context)).await;
        };
        let containers = site.api().await?.containers(&body.project).await?;
        let old = instances(&route, &containers, ran);
        let back = self.change(context, site, route, (old, Vec::new()));
        self.routes.undo(&back).await
    }

    /// The route leads to none of the containers here until it is switched; since when, where it led to one.
    pub(super) async fn suspend(
        &self,
        site: &Site,
        change: &Change,
        context: &Context,
    ) -> Result<Option<SystemTime>, TargetError> {
        let had = change.current.as_ref().and_then(|current| current.route.clone());
        let Some(route) = had.filter(|_| change.replaces && self.routes.serves(&site.place())) else {
            return Ok(None);
        };
        let away = SystemTime::now();
        self.routes.suspend(&self.change(context, site, route, (Vec::new(), Vec::new()))).await?;
        Ok(Some(away))
    }

    /// Proxies that the fleet does not name any more lose the route: another one serves by now. What cannot be done is told,
    /// and tried again with the next release.
    pub(super) async fn leave_former(&self, site: &Site, context: &Context) -> Result<(), TargetError> {
        let Some(mut current) = site.current().await?.filter(|current| !current.former.is_empty()) else {
            return Ok(());
        };
        let mut left = Vec::new();
        for noted in std::mem::take(&mut current.former) {
            match self.routes.remove(&end(site, Some(noted.clone()), context)).await {
                Ok(()) => {}
                Err(error @ TargetError::Fenced { .. }) => return Err(error),
                Err(error) => {
                    let told = format!(
                        "the former proxy at {} keeps its route to this deployment, and the next release tries again to \
                         take it away: {error}",
                        noted.at
                    );
                    context.log.line(Stream::Err, &told);
                    left.push(noted);
                }
            }
        }
        current.former = left;
        site.set_current(Some(&current)).await
    }

    /// The change of routes; `None` where there is no proxy for it. The old containers are reached by the route `had`, which
    /// led to them until now.
    pub(super) async fn route_change(
        &self,
        site: &Site,
        body: &Body,
        (had, old): (Option<&Route>, &[String]),
        context: &Context,
    ) -> Result<Option<RouteChange>, TargetError> {
        let Some(route) = body.route.clone().filter(|_| self.routes.serves(&site.place())) else {
            return Ok(None);
        };
        let containers = site.api().await?.containers(&body.project).await?;
        let is_old = |facts: &Facts| old.contains(&facts.id);
        let old = instances(had.unwrap_or(&route), &containers, is_old);
        let both = (old, instances(&route, &containers, |f| !is_old(f)));
        Ok(Some(self.change(context, site, route, both)))
    }

    fn change(
        &self,
        context: &Context,
        site: &Site,
        route: Route,
        (old, new): (Vec<Instance>, Vec<Instance>),
    ) -> RouteChange {
        RouteChange {
            deployment: context.rendered.deployment.clone(),
            place: site.place(),
            places: context.rendered.places.clone(),
            route,
            old,
            new,
            rollout: context.rollout,
            epoch: context.epoch,
        }
    }

    /// After the old containers were replaced: waits until the new ones take connections, and routes to them. The service
    /// that has the route, where there is one.
    pub(super) async fn listening_and_routed(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        context: &Context,
    ) -> Result<Option<String>, TargetError> {
        let to = self.route_change(site, body, (None, &[]), context).await?;
        if let Some(to) = &to {
            let containers = site.api().await?.containers(&body.project).await?;
            let service = service_of(&to.route, containers.iter().map(|facts| &facts.service));
            let services: Vec<String> = service.into_iter().collect();
            self.listening(site, body, to, &services, &Beside::default(), context).await?;
            self.route(site, body, change, &[], context).await?;
            return Ok(services.into_iter().next());
        }
        self.route(site, body, change, &[], context).await?;
        Ok(None)
    }

    /// The route to what runs as wanted; `None` where there is no proxy for it.
    fn wanted_route(&self, rendered: &Rendered, body: &Body, look: &Look) -> Option<RouteChange> {
        let route = body.route.clone().filter(|_| look.seen.routed)?;
        let matches = |facts: &Facts| {
            let service = look.seen.services.get(&facts.service);
            service.is_some_and(|service| {
                let is_it = |container: &&ContainerSeen| container.id == facts.id;
                service.containers.iter().any(|c| is_it(&c) && c.matches)
                    && !service.surplus().any(|c| is_it(&c))
            })
        };
        let new = instances(&route, &look.facts, matches);
        let (deployment, place) = (rendered.deployment.clone(), look.site.place());
        let places = rendered.places.clone();
        Some(RouteChange { deployment, place, places, route, old: Vec::new(), new, rollout: 0, epoch: 0 })
    }

    /// From now on the proxy is looked at, whether it leads to what runs.
    pub(super) fn keep_route(&self, rendered: &Rendered, body: &Body, look: &Look) {
        if let Some(change) = self.wanted_route(rendered, body, look) {
            self.routes.keep(change, look.ticket);
        }
    }

    /// What is to be done at the proxy where all containers run as wanted; `None`: nothing.
    pub(super) async fn reroute(
        &self,
        rendered: &Rendered,
        body: &Body,
        look: &Look,
    ) -> Result<Option<String>, TargetError> {
        if !look.seen.services.values().all(ServiceSeen::satisfied) {
            return Ok(None);
        }
        let Some(change) = self.wanted_route(rendered, body, look) else {
            let had = look.seen.current.as_ref().and_then(|current| current.route.as_ref());
            return Ok(
                had.map(|route| format!("take the route of {} away; no container changes", route.host))
            );
        };
        let host = &change.route.host;
        let lacks = match self.routes.lacks(&change).await {
            Ok(lacks) => lacks,
            // It is told again when the route is to be set.
            Err(TargetError::Passing(why)) => Some(why),
            Err(error) => return Err(error),
        };
        Ok(lacks.map(|why| format!("set the route of {host}: {why}; no container changes")))
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
            let door = self.routes.door(&rendered.deployment, place, route).await?;
            return Ok(if route.tls == Tls::Off { CheckAddress::Tcp(door) } else { CheckAddress::Tls(door) });
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

pub(super) fn end(site: &Site, proxy: Option<Noted>, context: &Context) -> RouteEnd {
    RouteEnd {
        deployment: context.rendered.deployment.clone(),
        place: site.place(),
        places: context.rendered.places.clone(),
        proxy,
        epoch: context.epoch,
    }
}

/// The running containers behind a route that are meant.
fn instances(route: &Route, containers: &[Facts], meant: impl Fn(&Facts) -> bool) -> Vec<Instance> {
    let service = service_of(route, containers.iter().map(|facts| &facts.service));
    let of = containers.iter().filter(|facts| Some(&facts.service) == service.as_ref() && facts.running);
    let instance = |facts: &Facts| {
        let port = port_of(route, facts);
        Instance {
            addresses: facts.networks.clone(),
            port,
            published: facts.published.get(&port).map(|(address, port)| {
                SocketAddr::new(address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), *port)
            }),
            pid: facts.pid,
        }
    };
    of.filter(|facts| meant(facts)).map(instance).collect()
}

/// The port of a route: the one that it names, else the only one that is exposed, else 80.
fn port_of(route: &Route, facts: &Facts) -> u16 {
    let only = match facts.exposed[..] {
        [only] => Some(only),
        _ => None,
    };
    route.port.or(only).unwrap_or(80)
}

/// The service behind a route: the one that it names, or the only one.
pub(super) fn service_of<'a>(route: &Route, services: impl Iterator<Item = &'a String>) -> Option<String> {
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
