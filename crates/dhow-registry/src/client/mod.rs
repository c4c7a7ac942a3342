//! A client for any OCI registry.
//!
//! Cheap to clone; clones share connections, tokens and the limit of calls at once. Every method may be called again
//! after a failure or a crash: reads change nothing, and pushing what is there already does nothing.

mod blob;
mod challenge;
mod credentials;
mod error;
mod host;
mod manifest;
mod push;
mod send;
mod settings;
mod tags;
mod token;
mod version;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
    pub fn new(settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { settings, hosts: Mutex::default() }) }
    }

    fn host(&self, name: &str) -> Result<Arc<Host>, ErrorKind> {
        let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(name) {
            return Ok(host.clone());
        }
        let host = Arc::new(Host::new(name, &self.inner.settings)?);
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
