//! The executors of a fleet's places. They follow the fleet: a server whose settings changed gets another executor, and
//! its old connection ends with the last that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dhow_core::diagnostic::nearest;
use dhow_core::fleet::{self, Jump, Server};
use dhow_core::noun::ServerName;
use dhow_core::port::{Executor, ExecutorError, Executors, Place};

use super::{LocalExecutor, Login, SshExecutor, SshSettings};

/// A private key that the fleet may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its file.
    pub file: PathBuf,
    /// The hosts that it may be used for: whoever can push to the fleet cannot log in elsewhere with it.
    pub hosts: BTreeSet<String>,
}

/// What the places need to know.
#[derive(Clone)]
pub struct PlacesConfig {
    /// Folder of Dhow's own things on this machine, absolute.
    pub home: PathBuf,
    /// File of the host keys that were accepted.
    pub known_hosts: PathBuf,
    /// Keys by the names that the fleet has for them.
    pub identities: BTreeMap<String, Identity>,
    /// The servers of the fleet's head, asked each time.
    pub servers: Arc<dyn Fn() -> BTreeMap<ServerName, Server> + Send + Sync>,
}

/// The executors, made when they are first asked for.
pub struct Places {
    config: PlacesConfig,
    local: Arc<LocalExecutor>,
    remote: Mutex<BTreeMap<ServerName, (SshSettings, Arc<SshExecutor>)>>,
}

impl Places {
    /// The executors of this machine and of the servers. Nothing is connected yet.
    ///
    /// # Errors
    /// `Refused`: the home has no UTF-8 name.
    pub fn new(config: PlacesConfig) -> Result<Self, ExecutorError> {
        let local = Arc::new(LocalExecutor::new(config.home.clone())?);
        Ok(Self { config, local, remote: Mutex::default() })
    }

    /// The executor of this machine.
    pub fn local(&self) -> Arc<LocalExecutor> {
        Arc::clone(&self.local)
    }

    /// The executor of a server, as the fleet's head has it.
    ///
    /// # Errors
    /// `Refused`: the fleet has no such server, or names a key that may not be used for its host.
    pub fn server(&self, name: &ServerName) -> Result<Arc<SshExecutor>, ExecutorError> {
        let servers = (self.config.servers)();
        let settings = self.settings(name, &servers)?;
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        remote.retain(|name, _| servers.contains_key(name));
        if let Some((known, executor)) = remote.get(name)
            && *known == settings
        {
            return Ok(Arc::clone(executor));
        }
        let executor = Arc::new(SshExecutor::new(&settings)?);
        remote.insert(name.clone(), (settings, Arc::clone(&executor)));
        Ok(executor)
    }

    fn settings(
        &self,
        name: &ServerName,
        servers: &BTreeMap<ServerName, Server>,
    ) -> Result<SshSettings, ExecutorError> {
        let server = servers.get(name).ok_or_else(|| unknown(name, servers))?;
        let login = self.login(name, &server.ssh, server)?;
        let jump = match &server.jump {
            None => None,
            Some(Jump::Address(address)) => {
                let unpinned = Server { fingerprint: None, ..server.clone() };
                Some(self.login(name, address, &unpinned)?)
            }
            Some(Jump::Server(jump)) => {
                let server = servers.get(jump).ok_or_else(|| unknown(jump, servers))?;
                Some(self.login(jump, &server.ssh, server)?)
            }
        };
        Ok(SshSettings { name: name.clone(), login, jump, known_hosts: self.config.known_hosts.clone() })
    }

    fn login(&self, name: &ServerName, ssh: &str, server: &Server) -> Result<Login, ExecutorError> {
        let refused = |text: String| ExecutorError::Refused(text);
        let (user, host, port) = fleet::address(ssh).ok_or_else(|| {
            refused(format!("{name}: {ssh:?} is no address of a server; mend it in dhow.yaml"))
        })?;
        let identity = match &server.identity {
            None => None,
            Some(key) => Some(self.identity(name, key, host)?),
        };
        let fingerprint = server.fingerprint.clone();
        Ok(Login { user: user.into(), host: host.into(), port, identity, fingerprint })
    }

    fn identity(&self, server: &ServerName, key: &str, host: &str) -> Result<PathBuf, ExecutorError> {
        match self.config.identities.get(key) {
            None => Err(ExecutorError::Refused(format!(
                "{server} wants the identity {key}, which serve's --config does not have: add \
                 `identities: {{ {key}: {{ file: PATH, hosts: [{host}] }} }}` there"
            ))),
            Some(identity) if !identity.hosts.contains(host) => Err(ExecutorError::Refused(format!(
                "{server} wants the identity {key}, which may not be used for {host}: add the host to its `hosts` in \
                 serve's --config if it may"
            ))),
            Some(identity) => Ok(identity.file.clone()),
        }
    }
}

fn unknown(name: &ServerName, servers: &BTreeMap<ServerName, Server>) -> ExecutorError {
    let advice = match nearest(name.as_str(), servers.keys().map(ServerName::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "declare it under servers in dhow.yaml at the fleet's root".into(),
    };
    ExecutorError::Refused(format!("the fleet has no server {name}; {advice}"))
}

#[async_trait]
impl Executors for Places {
    async fn at(&self, place: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        match place {
            Place::Local => Ok(self.local()),
            Place::Server(name) => Ok(self.server(name)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(ssh: &str, identity: Option<&str>) -> Server {
        Server {
            proxy: None,
            proxy_at: None,
            address: None,
            ssh: ssh.into(),
            jump: None,
            identity: identity.map(str::to_owned),
            fingerprint: None,
            environments: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    fn places(servers: Arc<Mutex<BTreeMap<ServerName, Server>>>, key: &tempfile::NamedTempFile) -> Places {
        let identity = Identity { file: key.path().into(), hosts: ["web1.acme.dev".to_owned()].into() };
        Places::new(PlacesConfig {
            home: "/tmp".into(),
            known_hosts: "/nowhere".into(),
            identities: [("deploy-key".to_owned(), identity)].into(),
            servers: Arc::new(move || servers.lock().unwrap().clone()),
        })
        .unwrap()
    }

    #[test]
    fn executors_follow_the_fleet() {
        let key = tempfile::NamedTempFile::new().unwrap();
        let web1: ServerName = "web1".parse().unwrap();
        let servers = Arc::new(Mutex::new(BTreeMap::from([(web1.clone(), server("a@web1.acme.dev", None))])));
        let places = places(Arc::clone(&servers), &key);
        let first = places.server(&web1).unwrap();
        assert!(Arc::ptr_eq(&first, &places.server(&web1).unwrap()));
        servers.lock().unwrap().insert(web1.clone(), server("b@web1.acme.dev", None));
        assert!(!Arc::ptr_eq(&first, &places.server(&web1).unwrap()));
        servers.lock().unwrap().clear();
        let gone = places.server(&web1).err().unwrap().to_string();
        assert!(gone.contains("the fleet has no server web1"), "{gone}");
    }

    #[test]
    fn a_key_is_used_for_its_hosts_only() {
        let key = tempfile::NamedTempFile::new().unwrap();
        let name: ServerName = "web".parse().unwrap();
        for (ssh, identity, problem) in [
            ("a@web1.acme.dev", "deploy-key", None),
            ("a@evil.example", "deploy-key", Some("may not be used for evil.example")),
            ("a@web1.acme.dev", "other", Some("does not have")),
        ] {
            let servers = BTreeMap::from([(name.clone(), server(ssh, Some(identity)))]);
            let result = places(Arc::new(Mutex::new(servers)), &key).server(&name);
            let told = result.err().map(|error| error.to_string());
            assert_eq!(told.is_some(), problem.is_some());
            assert!(told.unwrap_or_default().contains(problem.unwrap_or_default()));
        }
    }
}
