//! The proxies of the fleet's places, as the targets use them.
//!
//! Which proxy stands in front of a place is asked of the fleet's head each time. An effect at a proxy runs while a lock of
//! the proxy's place is held, one for each deployment (`fence`): whoever has a higher epoch ends it first. What is to be
//! served is remembered (`keep`): a proxy that was restarted without its routes gets them again within seconds.
//!
//! Several servers can stand behind the proxy of one: each has its own part of a route's upstreams, known by the server's
//! address, and leaves the others' parts as they are (`upstreams`).

mod fence;
mod keep;
mod upstreams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{Front, PasswordHash, ProxyKind, Route, SecretReference};
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Executor, ExecutorError, Executors, Place, PlaceLock, TargetError};
use secrecy::SecretString;

use crate::compose::{Instance, Noted, Prepared, RouteChange, RouteEnd, Routes};
use crate::proxy::{self, Inside, Kernels, Leaving, Proxy, ProxyError, Site, Switch};

use fence::Turns;
use keep::Keeper;
use upstreams::Part;

/// Where hashes of passwords are kept that a route refers to.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The secret, for a route of this host. The error is for people and never holds a secret.
    async fn secret(&self, reference: &SecretReference, host: &str) -> Result<SecretString, String>;
}

/// Names the proxy in front of a place; `None`: nothing stands there.
pub type FrontOf = Arc<dyn Fn(&Place) -> Option<Front> + Send + Sync>;

/// What the proxies need to know.
#[derive(Clone)]
pub struct FrontsConfig {
    /// The places.
    pub executors: Arc<dyn Executors>,
    /// The proxy in front of a place, by the fleet's head; asked each time.
    pub fronts: FrontOf,
    /// Hashes of passwords.
    pub secrets: Arc<dyn Secrets>,
    /// The epoch of the lease now, for what is mended outside of rollouts; `None`: nothing is mended now.
    pub epoch: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    /// How long a proxy may take until it serves what it was told.
    pub ready: Duration,
    /// How often proxies are asked whether they have lost a route.
    pub pause: Duration,
}

/// The proxies of the fleet's places.
pub struct Fronts {
    doors: Arc<Doors>,
    keeper: Keeper,
}

impl Fronts {
    /// Says nothing to any proxy yet.
    pub fn new(config: FrontsConfig) -> Self {
        let doors = Arc::new(Doors { config, turns: Turns::default() });
        Self { keeper: Keeper::new(Arc::clone(&doors)), doors }
    }
}

/// The way to the proxies.
struct Doors {
    config: FrontsConfig,
    turns: Turns,
}

/// The proxy in front of a place, and what it takes to speak to it.
struct Door {
    front: Front,
    proxy: Arc<dyn Proxy>,
    executor: Arc<dyn Executor>,
}

impl Doors {
    async fn at(&self, deployment: &DeploymentId, place: &Place) -> Result<Door, TargetError> {
        let front = (self.config.fronts)(place).ok_or_else(|| {
            TargetError::Blocked(format!(
                "{deployment} has a route, and the fleet names no proxy in front of {place}; add `proxy:` to dhow.yaml at \
                 the fleet's root"
            ))
        })?;
        self.open(front).await
    }

    async fn open(&self, front: Front) -> Result<Door, TargetError> {
        let executor = self.config.executors.at(&front.at).await.map_err(|error| of_proxy(error.into()))?;
        let proxy = proxy::at(&front.settings, Arc::clone(&executor));
        Ok(Door { front, proxy, executor })
    }

    /// The site of a route, with its secrets.
    async fn site(&self, deployment: &DeploymentId, route: &Route) -> Result<Site, TargetError> {
        let mut secrets = BTreeMap::new();
        for (user, password) in &route.basic_auth {
            if let PasswordHash::Secret(reference) = password {
                let found = self.config.secrets.secret(reference, &route.host).await;
                let told = |why| TargetError::Blocked(format!("route.basic_auth of {user}: {why}"));
                secrets.insert(user.clone(), found.map_err(told)?);
            }
        }
        Site::new(deployment.clone(), route, &secrets).map_err(of_proxy)
    }

    /// Makes the route lead from the part of some containers to that of others, at their place; unless, when the lock is
    /// held, this is not wanted any more: `None` then. True: something was changed.
    async fn lead(
        &self,
        change: &RouteChange,
        from: &[Instance],
        to: &[Instance],
        wanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<bool>, TargetError> {
        let door = self.at(&change.deployment, &change.place).await?;
        let site = self.site(&change.deployment, &change.route).await?;
        let part = Part::of(&door.front, &change.place, &change.places).await?;
        let (from, to) = (part.addresses(from)?, part.addresses(to)?);
        let lock = lock(&change.deployment, change.rollout, change.epoch);
        let effect = async {
            if !wanted() {
                return Ok(None);
            }
            let others = part.others(door.proxy.as_ref(), &change.deployment).await?;
            let all = |own: &[SocketAddr]| [&others[..], own].concat();
            let (old, new) = (all(&from), all(&to));
            let switch = Switch {
                proxy: door.proxy.as_ref(),
                executor: door.executor.as_ref(),
                site: &site,
                old: &old,
                new: &new,
            };
            let changed = switch.switch(self.config.ready).await.map_err(of_proxy)?;
            Ok(Some(changed != proxy::Change::None))
        };
        let _turn = self.turns.take(&door.front.at).await;
        fence::hold(door.executor.as_ref(), &lock, effect).await
    }

    async fn lacks(&self, change: &RouteChange) -> Result<Option<String>, TargetError> {
        let door = self.at(&change.deployment, &change.place).await?;
        let site = self.site(&change.deployment, &change.route).await?;
        let part = Part::of(&door.front, &change.place, &change.places).await?;
        let mut all = part.others(door.proxy.as_ref(), &change.deployment).await?;
        all.extend(part.addresses(&change.new)?);
        let all: Vec<_> = all.into_iter().map(proxy::Upstream::new).collect();
        door.proxy.lacks(&site, &all).await.map_err(of_proxy)
    }
}

/// Effects on one deployment's route exclude each other, whatever place its containers run at.
fn lock(deployment: &DeploymentId, rollout: u64, epoch: u64) -> PlaceLock {
    let DeploymentId { service, target, environment } = deployment;
    PlaceLock { name: format!("proxy/{environment}_{service}_{target}"), rollout, epoch }
}

/// What went wrong at a proxy, as the engine acts on it.
fn of_proxy(error: ProxyError) -> TargetError {
    match error {
        ProxyError::Place(error) => crate::engine::error::executor(error),
        error if error.may_pass() => TargetError::Passing(error.to_string()),
        error => TargetError::Blocked(error.to_string()),
    }
}

#[async_trait]
impl Routes for Fronts {
    fn serves(&self, place: &Place) -> bool {
        (self.doors.config.fronts)(place).is_some()
    }

    fn proxy(&self, place: &Place, places: &[Place]) -> Option<Noted> {
        let mut front = (self.doors.config.fronts)(place)?;
        front.shared.retain(|shared, _| places.is_empty() || places.contains(shared));
        Some(front.into())
    }

    fn warns(&self, place: &Place) -> Option<String> {
        let settings = (self.doors.config.fronts)(place)?.settings;
        let reloads = settings.kind == ProxyKind::Caddy && settings.folder.is_none();
        reloads.then(|| {
            "each deploy reloads Caddy, at which requests can fail; with proxy.folder in dhow.yaml it reloads nothing".into()
        })
    }

    async fn prepare(&self, change: &RouteChange) -> Result<Prepared, TargetError> {
        let door = self.doors.at(&change.deployment, &change.place).await?;
        let site = self.doors.site(&change.deployment, &change.route).await?;
        let part = Part::of(&door.front, &change.place, &change.places).await?;
        let new = part.addresses(&change.new)?;
        let switch = Switch {
            proxy: door.proxy.as_ref(),
            executor: door.executor.as_ref(),
            site: &site,
            old: &[],
            new: &new,
        };
        match switch.prepare().await {
            Ok(notes) => Ok(Prepared::Ready(notes)),
            Err(error @ ProxyError::NotListening { .. }) => Ok(Prepared::NotListening(error.to_string())),
            Err(error) => Err(of_proxy(error)),
        }
    }

    async fn switch(&self, change: &RouteChange) -> Result<(), TargetError> {
        let changing = self.keeper.changing(&change.deployment, &change.place);
        self.doors.lead(change, &change.old, &change.new, &|| true).await?;
        changing.keep(change.clone());
        Ok(())
    }

    async fn suspend(&self, change: &RouteChange) -> Result<(), TargetError> {
        let _changing = self.keeper.changing(&change.deployment, &change.place);
        self.doors.lead(change, &[], &[], &|| true).await.map(drop)
    }

    async fn undo(&self, change: &RouteChange) -> Result<(), TargetError> {
        let changing = self.keeper.changing(&change.deployment, &change.place);
        self.doors.lead(change, &[], &change.old, &|| true).await?;
        changing.keep(RouteChange { new: change.old.clone(), old: Vec::new(), ..change.clone() });
        Ok(())
    }

    async fn drain(&self, change: &RouteChange) -> Result<Option<String>, TargetError> {
        let door = self.doors.at(&change.deployment, &change.place).await?;
        let part = Part::of(&door.front, &change.place, &change.places).await?;
        let limit = Site::drain_time(&change.route, door.front.settings.drain);
        let addresses = part.addresses(&change.old)?;
        let own =
            self.doors.config.executors.at(&change.place).await.map_err(|error| of_proxy(error.into()))?;
        let inside = change.old.iter().map(|instance| {
            let (pid, address) = instance.pid.zip(instance.address(None))?;
            Some(Inside { pid, address })
        });
        let leaving: Vec<Leaving> =
            addresses.into_iter().zip(inside).map(|(address, inside)| Leaving { address, inside }).collect();
        let kernels = Kernels { proxy: door.executor.as_ref(), own: own.as_ref() };
        let drained = proxy::drain(door.proxy.as_ref(), kernels, &leaving, limit).await;
        let drained = drained.map_err(of_proxy)?;
        let waited = drained.waited;
        Ok(match drained.open {
            Some(0) => None,
            Some(open) => {
                Some(format!("{open} connections were still open after {waited:.0?} and are cut off"))
            }
            None => Some(format!("nobody could tell what was open; the whole {waited:.0?} was waited")),
        })
    }

    async fn remove(&self, end: &RouteEnd) -> Result<(), TargetError> {
        let (deployment, place) = (&end.deployment, &end.place);
        let present = self.proxy(place, &end.places);
        let same = |noted: &Noted| present.as_ref().is_none_or(|present| present.is(noted));
        let _changing = end.proxy.as_ref().is_none_or(same).then(|| self.keeper.changing(deployment, place));
        let Some(noted) = end.proxy.clone().or(present) else { return Ok(()) };
        let door = match self.doors.config.executors.at(&noted.at).await {
            Ok(_) => self.doors.open(noted.front(place)).await?,
            // The fleet has no such server any more: nobody can say anything to a proxy there.
            Err(ExecutorError::Refused(why)) if end.proxy.is_some() => {
                tracing::warn!(%deployment, at = %noted.at, why, "a former proxy is not reached, and keeps its route");
                return Ok(());
            }
            Err(error) => return Err(of_proxy(error.into())),
        };
        let part = Part::of(&door.front, place, &end.places).await?;
        let effect = async { part.leave(door.proxy.as_ref(), deployment).await };
        let _turn = self.doors.turns.take(&door.front.at).await;
        fence::hold(door.executor.as_ref(), &lock(deployment, 0, end.epoch), effect).await
    }

    async fn lacks(&self, change: &RouteChange) -> Result<Option<String>, TargetError> {
        self.doors.lacks(change).await
    }

    fn ticket(&self) -> u64 {
        self.keeper.ticket()
    }

    fn keep(&self, change: RouteChange, ticket: u64) {
        self.keeper.doubt(change, ticket);
    }

    async fn door(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        route: &Route,
    ) -> Result<SocketAddr, TargetError> {
        let door = self.doors.at(deployment, place).await?;
        // The door is the same for everybody: no secret is needed to find it.
        let open = Route { basic_auth: BTreeMap::new(), ..route.clone() };
        let site = self.doors.site(deployment, &open).await?;
        door.proxy.front(&site).await.map_err(of_proxy)
    }
}
