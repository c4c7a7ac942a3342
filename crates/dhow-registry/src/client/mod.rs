//! A client for any OCI registry.
//!
//! Cheap to clone; clones share connections, tokens and the limit of calls at once. Every method may be called again
//! after a failure or a crash: reads change nothing, and pushing what is there already does nothing.

mod blob;
mod challenge;
mod credentials;
mod error;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod host;
mod manifest;
mod push;
mod send;
mod settings;
mod tags;
mod token;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dhow_core::noun::Repository;
use reqwest::{Method, Url};

pub use blob::BlobStream;
pub use error::{Error, ErrorKind};
pub use manifest::Fetched;
pub use push::BlobSource;
pub use settings::{Credentials, DockerConfig, HostSettings, Settings};

use host::Host;
use send::Ask;

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// What is known of single registries now: it may be replaced while the client is used.
    known: RwLock<Arc<BTreeMap<String, HostSettings>>>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// `host[:port]` where the registry's calls go.
fn host_authority(host: &Host) -> String {
    token::authority(&host.base)
}

/// What a caller will do, as token services name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

impl Client {
    /// A client with these settings. Connects to nothing yet.
    pub fn new(mut settings: Settings) -> Self {
        let known = RwLock::new(Arc::new(std::mem::take(&mut settings.hosts)));
        Self { inner: Arc::new(Inner { settings, known, hosts: Mutex::default() }) }
    }

    /// Replaces what is known of single registries, for this client and its clones. Calls that run end as they began;
    /// registries of which nothing changed keep their connections and tokens.
    pub fn set_hosts(&self, hosts: BTreeMap<String, HostSettings>) {
        let mut open = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|name, host| hosts.get(name).unwrap_or(&HostSettings::default()).same(&host.settings));
        *self.inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hosts);
    }

    /// What is known of single registries.
    fn known(&self) -> Arc<BTreeMap<String, HostSettings>> {
        Arc::clone(&self.inner.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn host(&self, name: &str) -> Result<Arc<Host>, ErrorKind> {
        let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Ok(host.clone());
        }
        let own = self.known().get(name).cloned().unwrap_or_default();
        if let Some(why) = &own.refused {
            return Err(ErrorKind::Forbidden(why.clone()));
        }
        let host = Arc::new(Host::new(name, own, &self.inner.settings)?);
        hosts.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    /// Everything that a call on a repository needs: host, scope, and the error's words.
    fn on<'a>(&self, repository: &'a Repository, access: Access, what: String) -> Result<Target<'a>, Error> {
        let host = self.host(repository.registry()).map_err(|kind| Error {
            registry: repository.registry().to_owned(),
            asked: what.clone(),
            kind,
        })?;
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        Ok(Target { host, repository, what, scope: format!("repository:{}:{actions}", repository.path()) })
    }
}

/// A repository that is about to be called.
struct Target<'a> {
    host: Arc<Host>,
    repository: &'a Repository,
    what: String,
    scope: String,
}

impl Target<'_> {
    fn error(&self, kind: ErrorKind) -> Error {
        Error { registry: self.host.name.clone(), asked: self.what.clone(), kind }
    }

    /// A call on a resource of the repository: `tags/list`, `blobs/<digest>`.
    fn ask(&self, method: Method, rest: &str) -> Result<Ask<'_>, Error> {
        let url = self.host.base.join(&format!("{}/{rest}", self.repository.path()));
        let url = url.map_err(|error| self.error(ErrorKind::Local(format!("no address: {error}"))))?;
        Ok(self.ask_at(method, url))
    }

    fn ask_at(&self, method: Method, url: Url) -> Ask<'_> {
        Ask {
            host: &self.host,
            method,
            url,
            what: &self.what,
            scope: &self.scope,
            headers: Vec::new(),
            body: None,
        }
    }
}
