//! Where versions come from: the registry client, with what the fleet's head says of registries.
//!
//! Before each call the fleet's head is looked at: a registry that it tells of is never called without what it tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::RegistrySettings;
use dhow_core::noun::{Digest, Pin, Repository, Tag, Version};
use dhow_core::port::{ByteStream, SourceError, VersionSource};
use dhow_engine::{Engine, View};
use dhow_registry::client::{Client, Credentials, HostSettings, Settings};
use secrecy::SecretString;
use tokio::time::Instant;

use super::config::FileConfig;
use super::docker::Servers;
use super::secrets;

/// Secrets are read anew after this time: they may have been changed.
const REFRESH: Duration = Duration::from_secs(300);
/// A secret that could not be had is tried again after this time.
const AGAIN: Duration = Duration::from_secs(10);
/// Longest time that a call waits for the fleet to be read for the first time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it was.
const LOOK: Duration = Duration::from_millis(20);

/// The source of versions. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Source {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    config: FileConfig,
    own: BTreeMap<String, HostSettings>,
    engine: Mutex<Option<Engine>>,
    applied: tokio::sync::Mutex<Option<Applied>>,
    problems: Mutex<Vec<String>>,
    servers: Mutex<Servers>,
}

/// What the client was told last, and until when that holds.
struct Applied {
    view: Arc<View>,
    until: Instant,
}

impl Source {
    /// A source in which these names are the embedded registry at this address.
    pub fn new(config: FileConfig, names: &[String], address: &str, secret: &SecretString) -> Self {
        let own = HostSettings {
            credentials: Some(Credentials::Dhow(secret.clone())),
            address: Some(address.to_owned()),
            // Its own listener, whatever its address: nothing leaves this machine.
            plain_http: true,
            ..HostSettings::default()
        };
        let own: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), own.clone())).collect();
        let client = Client::new(Settings { hosts: own.clone(), ..Settings::default() });
        Self {
            inner: Arc::new(Inner {
                client,
                config,
                own,
                engine: Mutex::default(),
                applied: tokio::sync::Mutex::default(),
                problems: Mutex::default(),
                servers: Mutex::default(),
            }),
        }
    }

    /// Follows the fleet's head of this engine; `None` ends it.
    pub fn follow(&self, engine: Option<Engine>) {
        *self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// The epoch of the engine's lease, while there is one.
    pub fn epoch(&self) -> Option<u64> {
        self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Engine::epoch)
    }

    /// The servers and proxies of the fleet's head; while its root file is broken, those that it had before. Servers that
    /// it does not have any more are reached as it last said.
    pub fn servers(&self) -> Servers {
        let mut servers = self.inner.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = self.view().filter(|view| !view.fleet.broken_root) {
            servers.proxy.clone_from(&view.fleet.proxy);
        }
        let engine = self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engine.as_ref() {
            servers.servers = engine.servers();
        }
        servers.clone()
    }

    /// What a registry is shown for a pull; the error says why it is not to be called.
    pub async fn credentials(&self, registry: &str) -> Result<Option<Credentials>, String> {
        if let Some(own) = self.inner.own.get(registry) {
            return Ok(own.credentials.clone());
        }
        let Some(view) = self.view() else { return Ok(None) };
        let Some(said) = view.fleet.registries.get(registry) else { return Ok(None) };
        let settings = self.settings(registry, said, &view).await;
        match settings.refused {
            Some(why) => Err(format!("registry {registry} is not called: {why}")),
            None => Ok(settings.credentials),
        }
    }

    /// What is wrong with the registries that the fleet names, for people.
    pub fn problems(&self) -> Vec<String> {
        self.inner.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn view(&self) -> Option<Arc<View>> {
        self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.fleet()
    }

    /// The client, told what the fleet's head says.
    async fn client(&self, repository: &Repository) -> Result<&Client, SourceError> {
        let client = &self.inner.client;
        if self.inner.own.contains_key(repository.registry()) {
            return Ok(client);
        }
        let waiting = async {
            loop {
                if let Some(view) = self.view() {
                    return view;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let Ok(view) = tokio::time::timeout(PATIENCE, waiting).await else {
            return Err(SourceError::Unavailable {
                message: format!(
                    "registry {}: the fleet was not read yet, which says how to log in there",
                    repository.registry()
                ),
                retry_after: None,
            });
        };
        self.apply(view).await;
        Ok(client)
    }

    /// Tells the client what this view says of registries, unless it was told before.
    pub async fn apply(&self, view: Arc<View>) {
        let mut applied = self.inner.applied.lock().await;
        let fresh = |a: &Applied| Arc::ptr_eq(&a.view, &view) && Instant::now() < a.until;
        if applied.as_ref().is_some_and(fresh) {
            return;
        }
        let mut hosts = self.inner.own.clone();
        let mut problems = Vec::new();
        for (host, said) in &view.fleet.registries {
            if self.inner.own.contains_key(host) {
                problems.push(format!(
                    "dhow.yaml: registries has {host}, which is dhow's own registry; what it says is not used"
                ));
                continue;
            }
            let settings = self.settings(host, said, &view).await;
            problems
                .extend(settings.refused.iter().map(|why| format!("registry {host} is not called: {why}")));
            hosts.insert(host.clone(), settings);
        }
        let again = if problems.is_empty() { REFRESH } else { AGAIN };
        let mut told = self.inner.problems.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems.iter().filter(|p| !told.contains(p)) {
            tracing::warn!("{problem}");
        }
        *told = problems;
        self.inner.client.set_hosts(hosts);
        *applied = Some(Applied { view, until: Instant::now() + again });
    }

    async fn settings(&self, host: &str, said: &RegistrySettings, view: &View) -> HostSettings {
        let refused = |why: String| HostSettings { refused: Some(why), ..HostSettings::default() };
        let calls = said.calls.and_then(|calls| usize::try_from(calls).ok());
        let mut settings = HostSettings { plain_http: said.plain_http, calls, ..HostSettings::default() };
        if let Some(path) = &said.ca {
            settings.ca = match view.tree.read(path) {
                Ok(Some(pem)) => Some(pem),
                Ok(None) => {
                    return refused(format!("the fleet has no file {path}, which is to vouch for it"));
                }
                Err(error) => {
                    return refused(format!("{path}, which is to vouch for it, cannot be read: {error}"));
                }
            };
        }
        if let Some(reference) = &said.credentials {
            match secrets::resolve(&self.inner.config, reference, host).await {
                Ok(secret) => settings.credentials = Some(secrets::credentials(&secret)),
                Err(why) => return refused(why),
            }
        }
        settings
    }
}

#[async_trait]
impl VersionSource for Source {
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, SourceError> {
        VersionSource::tags(self.client(repository).await?, repository).await
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, SourceError> {
        VersionSource::resolve(self.client(repository).await?, repository, tag).await
    }

    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<Version, SourceError> {
        self.client(repository).await?.describe(repository, digest, tag).await
    }

    async fn bundle(&self, pin: &Pin) -> Result<ByteStream, SourceError> {
        self.client(&pin.repository).await?.bundle(pin).await
    }
}
