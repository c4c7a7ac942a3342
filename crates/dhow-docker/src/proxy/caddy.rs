//! Caddy, by its admin API.
//!
//! One route a deployment, with an `@id` of ours, in the HTTP server that fits. Every change is a compare-and-swap on the
//! whole configuration (`If-Match`), and names only our own route: what is not ours is never sent, so it stays as it is.
//! Each such change is a reload of Caddy. Where the settings name a folder, the addresses of upstreams are in files there
//! that Caddy reads at each request (`slots`), and a change of them is no reload.

mod admin;
mod config;
mod document;
mod slots;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{ProxySettings, Tls};
use dhow_core::noun::DeploymentId;
use dhow_core::port::Executor;
use serde_json::{Value, json};

use self::admin::{Admin, Method};
use self::config::Config;
use self::document::Addresses;
use super::error::ProxyError;
use super::site::{Site, Upstream, checked, mark_path, name};
use super::{Change, Proxy, live};

/// How often a change is computed again because somebody else was faster.
const TRIES: u32 = 10;

/// Caddy at one place.
pub(super) struct Caddy {
    settings: ProxySettings,
    executor: Arc<dyn Executor>,
}

impl Caddy {
    pub(super) fn new(settings: ProxySettings, executor: Arc<dyn Executor>) -> Self {
        Self { settings, executor }
    }

    async fn admin(&self) -> Result<Admin, ProxyError> {
        Admin::open(self.settings.admin.as_ref(), self.executor.as_ref()).await
    }

    fn folder(&self) -> Option<&str> {
        self.settings.folder.as_deref()
    }

    /// What the route is to look like, given the one that is there.
    fn wanted(&self, site: &Site, upstreams: &[Upstream], found: Option<&Value>) -> Value {
        match self.folder() {
            Some(folder) => {
                let former = found.map_or(0, |route| document::dials(route).len());
                let paths = slots::paths(folder, &name(&site.deployment), former, upstreams);
                document::route(site, &Addresses::Files(&paths))
            }
            None => document::route(site, &Addresses::Direct(upstreams)),
        }
    }

    /// Brings the route into the configuration; computed again where the configuration was changed in between.
    async fn route_is(&self, site: &Site, upstreams: &[Upstream]) -> Result<Change, ProxyError> {
        let (admin, id) = (self.admin().await?, name(&site.deployment));
        for _ in 0..TRIES {
            let config = admin.config().await?;
            let (server, there) = config.server_for(site, self.settings.server.as_deref())?;
            let found = config.find(&id);
            let wanted = self.wanted(site, upstreams, found.map(|found| found.route));
            let swapped = match found {
                Some(found) if found.server == server && *found.route == wanted => return Ok(Change::None),
                Some(found) if found.server == server => {
                    admin.swap(Method::PATCH, &found.path(), Some(&wanted), &config.etag).await?
                }
                // An id cannot be in two places: it goes first, and is set in the next round.
                Some(found) => {
                    admin.swap(Method::DELETE, &found.path(), None, &config.etag).await?;
                    continue;
                }
                None if there => {
                    let path =
                        format!("{}/{}", config::routes_path(&server), config.place_for(&server, site)?);
                    if config.has_routes(&server) {
                        admin.swap(Method::PUT, &path, Some(&wanted), &config.etag).await?
                    } else {
                        let path = config::routes_path(&server);
                        admin.swap(Method::PUT, &path, Some(&json!([wanted])), &config.etag).await?
                    }
                }
                None => {
                    let (path, value) = config.new_server(&server, config::own_server(site, wanted));
                    admin.swap(Method::PUT, &path, Some(&value), &config.etag).await?
                }
            };
            if swapped {
                return Ok(Change::Configuration);
            }
        }
        Err(ProxyError::Contended(TRIES))
    }

    /// What of the wanted state is not there.
    async fn missing(
        &self,
        config: &Config,
        site: &Site,
        upstreams: &[Upstream],
    ) -> Result<Option<String>, ProxyError> {
        let Some(found) = config.find(&name(&site.deployment)) else {
            return Ok(Some("its route is not in Caddy's configuration".into()));
        };
        if *found.route != self.wanted(site, upstreams, Some(found.route)) {
            return Ok(Some("its route in Caddy's configuration is another one".into()));
        }
        let stale = match self.folder() {
            Some(_) => {
                let paths = slots::of(found.route);
                slots::read(self.executor.as_ref(), &paths).await? != slots::spread(upstreams, paths.len())
            }
            None => false,
        };
        Ok(stale.then(|| "the files with its addresses say something else".into()))
    }
}

/// What Caddy cannot do is refused, not left out.
fn possible(site: &Site) -> Result<(), ProxyError> {
    match site.tls {
        Tls::Resolver(_) => {
            let message =
                "tls: { resolver } is for Traefik; Caddy finds certificates itself: write tls: auto";
            Err(ProxyError::Unable(message.into()))
        }
        Tls::Auto | Tls::Off => Ok(()),
    }
}

#[async_trait]
impl Proxy for Caddy {
    async fn route(&self, deployment: &DeploymentId) -> Result<Option<Vec<Upstream>>, ProxyError> {
        let config = self.admin().await?.config().await?;
        let Some(found) = config.find(&name(deployment)) else { return Ok(None) };
        let paths = slots::of(found.route);
        if paths.is_empty() {
            return document::upstreams(found.route).map(Some).ok_or_else(|| {
                let path = found.path();
                ProxyError::Unexpected(format!(
                    "Caddy's route {path} is not as Dhow wrote it; remove it there"
                ))
            });
        }
        Ok(Some(slots::upstreams(&slots::read(self.executor.as_ref(), &paths).await?)))
    }

    async fn lacks(&self, site: &Site, upstreams: &[Upstream]) -> Result<Option<String>, ProxyError> {
        let config = self.admin().await?.config().await?;
        self.missing(&config, site, &checked(upstreams)?).await
    }

    async fn present(&self) -> Result<BTreeSet<String>, ProxyError> {
        Ok(self.admin().await?.config().await?.ours())
    }

    async fn look(&self, site: &Site) -> Result<Vec<String>, ProxyError> {
        possible(site)?;
        let config = self.admin().await?.config().await?;
        let (server, there) = config.server_for(site, self.settings.server.as_deref())?;
        if there && config.find(&name(&site.deployment)).is_none() {
            config.place_for(&server, site)?;
        }
        let mut notes = Vec::new();
        if self.folder().is_none() {
            let note = "each deploy reloads Caddy, which ends idle connections and may reset new ones: requests can fail; \
             with proxy.folder a deploy reloads nothing";
            notes.push(note.to_owned());
        }
        let cut = config.streams_that_a_reload_cuts();
        if cut > 0 {
            notes.push(format!(
                "a reload of Caddy ends the WebSockets of {cut} proxies in it that are not Dhow's; \
                 set stream_close_delay there"
            ));
        }
        if config.is_forgotten() {
            let note = "Caddy does not keep its configuration (admin.config.persist is false): after a restart, \
                        routes are missing until Dhow sets them again";
            notes.push(note.to_owned());
        }
        Ok(notes)
    }

    async fn set(&self, site: &Site, upstreams: &[Upstream]) -> Result<Change, ProxyError> {
        possible(site)?;
        let upstreams = checked(upstreams)?;
        let mut changed = Change::None;
        if let Some(folder) = self.folder() {
            // The files come first: a route never leads to a file that is not there.
            let config = self.admin().await?.config().await?;
            let former =
                config.find(&name(&site.deployment)).map_or(0, |found| document::dials(found.route).len());
            let paths = slots::paths(folder, &name(&site.deployment), former, &upstreams);
            if slots::write(self.executor.as_ref(), folder, &paths, &upstreams).await? {
                changed = Change::Addresses;
            }
        }
        Ok(changed.max(self.route_is(site, &upstreams).await?))
    }

    async fn retain(
        &self,
        deployment: &DeploymentId,
        upstreams: &[SocketAddr],
    ) -> Result<Change, ProxyError> {
        let (admin, id) = (self.admin().await?, name(deployment));
        for _ in 0..TRIES {
            let config = admin.config().await?;
            let Some(found) = config.find(&id) else { return Ok(Change::None) };
            let paths = slots::of(found.route);
            if let (Some(folder), false) = (self.folder(), paths.is_empty()) {
                let left: Vec<Upstream> = upstreams.iter().copied().map(Upstream::new).collect();
                let changed = slots::write(self.executor.as_ref(), folder, &paths, &left).await?;
                return Ok(if changed { Change::Addresses } else { Change::None });
            }
            let mut left = found.route.clone();
            document::retain(&mut left, upstreams);
            if left == *found.route {
                return Ok(Change::None);
            }
            if admin.swap(Method::PATCH, &found.path(), Some(&left), &config.etag).await? {
                return Ok(Change::Configuration);
            }
        }
        Err(ProxyError::Contended(TRIES))
    }

    async fn remove(&self, deployment: &DeploymentId) -> Result<Change, ProxyError> {
        let (admin, id) = (self.admin().await?, name(deployment));
        let mut change = Change::None;
        for _ in 0..TRIES {
            let config = admin.config().await?;
            let Some(found) = config.find(&id) else {
                if let Some(folder) = self.folder() {
                    slots::remove(self.executor.as_ref(), folder, &id).await?;
                }
                return Ok(change);
            };
            if admin.swap(Method::DELETE, &found.path(), None, &config.etag).await? {
                change = Change::Configuration;
            }
        }
        Err(ProxyError::Contended(TRIES))
    }

    async fn ready(&self, site: &Site, upstreams: &[Upstream], limit: Duration) -> Result<(), ProxyError> {
        let upstreams = checked(upstreams)?;
        let config = self.admin().await?.config().await?;
        if let Some(reason) = self.missing(&config, site, &upstreams).await? {
            return Err(ProxyError::NotReady { host: site.host.clone(), limit: Duration::ZERO, reason });
        }
        let found = config.find(&name(&site.deployment));
        let mark = found.map(|found| document::mark_of(found.route)).unwrap_or_default();
        let mut path = mark_path(site, &mark);
        if let (Some(found), Some(_)) = (found, self.folder()) {
            let held = slots::spread(&upstreams, slots::of(found.route).len());
            path = format!("{path}/{}", slots::line(held));
        }
        match (live::wait(site, self.front(site).await?, &path, &mark, limit).await, self.folder()) {
            (Err(ProxyError::NotReady { host, limit, reason }), Some(folder)) => {
                let reason = format!(
                    "{reason}; can Caddy read {folder}? In a container, the folder must be mounted at this very path"
                );
                Err(ProxyError::NotReady { host, limit, reason })
            }
            (other, _) => other,
        }
    }

    async fn open(&self, upstream: SocketAddr) -> Result<Option<u64>, ProxyError> {
        let counts = self.admin().await?.get("/reverse_proxy/upstreams").await?;
        let address = upstream.to_string();
        let of = |entry: &&Value| entry.get("address").and_then(Value::as_str) == Some(&address);
        // An older Caddy does not know of upstreams that no route names: what is not listed is not counted.
        let found = counts.as_array().into_iter().flatten().find(of);
        Ok(found.and_then(|entry| entry.get("num_requests")).and_then(Value::as_u64))
    }

    async fn front(&self, site: &Site) -> Result<SocketAddr, ProxyError> {
        if let Some(front) = self.settings.front {
            return Ok(self.executor.forward_tcp(front).await?);
        }
        let config = self.admin().await?.config().await?;
        let (server, _) = config.server_for(site, self.settings.server.as_deref())?;
        let port = if site.tls == Tls::Off { 80 } else { 443 };
        let front = config.listens(&server).unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)));
        Ok(self.executor.forward_tcp(front).await?)
    }
}

/// Reads any document as a route.
#[cfg(feature = "fuzz")]
pub(super) fn fuzz(data: &[u8]) {
    let Ok(mut route) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let _ = (document::mark_of(&route), document::upstreams(&route));
    document::retain(&mut route, &[]);
    assert!(document::dials(&route).is_empty(), "an upstream stays in {route}");
}
