use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use dhow_core::noun::DeploymentId;
use http::Request;
use http::header::HOST;
use thiserror::Error;

use super::live::LiveRelease;

/// A host that belongs to another deployment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the host {host:?} of {wanted} is served for {owner} already; give one of them another host")]
pub struct HostTaken {
    /// The host.
    pub host: String,
    /// Who has it.
    pub owner: Box<DeploymentId>,
    /// Who asked for it.
    pub wanted: Box<DeploymentId>,
}

/// Who answers for which host. Cheap to clone; all clones are one table.
///
/// A request holds the lock for one look-up and takes its release along; a change holds it for a few insertions.
#[derive(Clone, Default)]
pub struct Sites {
    table: Arc<RwLock<Table>>,
}

#[derive(Default)]
struct Table {
    owners: HashMap<String, DeploymentId>,
    sites: HashMap<DeploymentId, Site>,
    live: HashMap<String, Arc<LiveRelease>>,
}

#[derive(Default)]
struct Site {
    hosts: Vec<String>,
    live: Option<Arc<LiveRelease>>,
}

impl fmt::Debug for Sites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.read().live.keys()).finish()
    }
}

impl Sites {
    /// The host that every deployment has: `<service>.<environment>.localhost`, in small letters.
    pub fn default_host(id: &DeploymentId) -> String {
        format!("{}.{}.localhost", id.service, id.environment).to_ascii_lowercase()
    }

    /// The hosts that a deployment answers with these configured ones: the one that it always has first, each once,
    /// in their one form.
    pub(crate) fn all_hosts(id: &DeploymentId, hosts: &[String]) -> Vec<String> {
        let mut all = vec![Self::default_host(id)];
        for host in hosts {
            let host = normal(host).into_owned();
            if !all.contains(&host) {
                all.push(host);
            }
        }
        all
    }

    /// Gives a deployment its configured hosts, beside the one that it always has. Those it had before and has no
    /// longer answer 404 from now on.
    ///
    /// # Errors
    /// A host belongs to another deployment: nothing changes.
    pub fn set_hosts(&self, id: &DeploymentId, hosts: &[String]) -> Result<(), HostTaken> {
        let wanted = Self::all_hosts(id, hosts);
        let mut guard = self.write();
        let table = &mut *guard;
        if let Some((host, owner)) =
            wanted.iter().find_map(|host| Some((host, table.owners.get(host).filter(|owner| *owner != id)?)))
        {
            return Err(HostTaken {
                host: host.clone(),
                owner: Box::new(owner.clone()),
                wanted: Box::new(id.clone()),
            });
        }
        let site = table.sites.entry(id.clone()).or_default();
        for old in std::mem::take(&mut site.hosts) {
            table.owners.remove(&old);
            table.live.remove(&old);
        }
        for host in &wanted {
            table.owners.insert(host.clone(), id.clone());
            if let Some(live) = &site.live {
                table.live.insert(host.clone(), live.clone());
            }
        }
        site.hosts = wanted;
        Ok(())
    }

    /// Makes a release the answer of its deployment's hosts, from the next request on. Requests that run keep the
    /// release that they began with. Gives the release that was live before.
    ///
    /// # Errors
    /// The deployment has no hosts yet, and the one that every deployment has belongs to another: nothing changes.
    pub fn set_live(&self, live: Arc<LiveRelease>) -> Result<Option<Arc<LiveRelease>>, HostTaken> {
        let id = live.deployment().clone();
        if !self.read().sites.contains_key(&id) {
            self.set_hosts(&id, &[])?;
        }
        let mut guard = self.write();
        let table = &mut *guard;
        let site = table.sites.entry(id).or_default();
        for host in &site.hosts {
            table.live.insert(host.clone(), live.clone());
        }
        Ok(site.live.replace(live))
    }

    /// The release that is live for a deployment.
    pub fn live(&self, id: &DeploymentId) -> Option<Arc<LiveRelease>> {
        self.read().sites.get(id)?.live.clone()
    }

    /// The hosts of a deployment, the one that it always has first. Empty where it is unknown.
    pub fn hosts(&self, id: &DeploymentId) -> Vec<String> {
        self.read().sites.get(id).map(|site| site.hosts.clone()).unwrap_or_default()
    }

    /// Serves a deployment no longer. Its hosts are free. It is fine if it is unknown.
    pub fn remove(&self, id: &DeploymentId) {
        let mut table = self.write();
        for host in table.sites.remove(id).map(|site| site.hosts).unwrap_or_default() {
            table.owners.remove(&host);
            table.live.remove(&host);
        }
    }

    pub(super) fn by_host(&self, host: &str) -> Option<Arc<LiveRelease>> {
        self.read().live.get(&*normal(host)).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host that a request asks for, as it stands; `None` unless there is exactly one (RFC 9112, 3.2).
pub(super) fn host_of<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let mut headers = request.headers().get_all(HOST).iter();
    let host = headers.next();
    if headers.next().is_some() {
        return None;
    }
    // A whole address in the request line wins over the header.
    match request.uri().host() {
        Some(host) => Some(host.into()),
        None => host.map(|host| String::from_utf8_lossy(host.as_bytes())).filter(|host| !host.is_empty()),
    }
}

/// Without port and last dot, in small letters.
fn normal(host: &str) -> Cow<'_, str> {
    let name = match (host.starts_with('['), host.rsplit_once(':')) {
        (true, Some((name, _))) if name.ends_with(']') => name,
        (false, Some((name, port))) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|b| b.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_port_case_and_last_dot() {
        for host in [
            "shop.stage.localhost",
            "Shop.Stage.LOCALHOST:8081",
            "shop.stage.localhost.",
            "shop.stage.localhost:",
        ] {
            assert_eq!(normal(host), "shop.stage.localhost");
        }
        assert_eq!(normal("[::1]:80"), "[::1]");
        assert_eq!(normal("[::1]"), "[::1]");
    }

    #[test]
    fn a_host_belongs_to_one_deployment() {
        let sites = Sites::default();
        let shop = "shop/static_file/stage".parse().unwrap();
        let blog: DeploymentId = "blog/static_file/stage".parse().unwrap();
        sites.set_hosts(&shop, &["www.acme.dev".into()]).unwrap();
        let error = sites.set_hosts(&blog, &["WWW.acme.dev:80".into()]).unwrap_err();
        assert_eq!((error.host.as_str(), &*error.owner), ("www.acme.dev", &shop));
        assert!(sites.hosts(&blog).is_empty(), "a refused change left something behind");
        sites.set_hosts(&shop, &[]).unwrap();
        sites.set_hosts(&blog, &["www.acme.dev".into()]).unwrap();
        assert_eq!(sites.hosts(&blog), ["blog.stage.localhost", "www.acme.dev"]);
    }
}
