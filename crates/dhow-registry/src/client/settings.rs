//! How the client reaches registries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// Settings of a [`super::Client`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is known of single registries, by the name that stands in references: `docker.io`, `localhost:5000`.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Where credentials are looked up that `hosts` does not have.
    pub docker_config: DockerConfig,
    /// Calls at once to one registry, where it has no number of its own.
    pub calls: usize,
    /// Time to connect.
    pub connect: Duration,
    /// Time without a byte after which an answer counts as cut short, and the time of a whole call for anything small.
    pub read: Duration,
    /// Longest `Retry-After` that a call waits for; a longer one is an error at once.
    pub patience: Duration,
    /// Blobs above this size, in bytes, are pushed in chunks of it.
    pub chunk: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            docker_config: DockerConfig::Default,
            calls: 10,
            connect: Duration::from_secs(10),
            read: Duration::from_secs(60),
            patience: Duration::from_secs(30),
            chunk: 16 << 20,
        }
    }
}

/// What is known of one registry.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Credentials for it; never sent to another host.
    pub credentials: Option<Credentials>,
    /// Certificates, in PEM, that vouch for it beside the system's.
    pub ca: Option<Vec<u8>>,
    /// Plain HTTP, although it is not on this machine.
    pub plain_http: bool,
    /// Calls at once to it.
    pub calls: Option<usize>,
    /// `host[:port]` where it is called, in place of its name.
    pub address: Option<String>,
    /// Why it is not to be called at all: every call fails with this.
    pub refused: Option<String>,
}

impl HostSettings {
    /// Whether nothing differs.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let credentials = match (&self.credentials, &other.credentials) {
            (None, None) => true,
            (Some(one), Some(two)) => one.same(two),
            _ => false,
        };
        credentials
            && self.ca == other.ca
            && self.plain_http == other.plain_http
            && self.calls == other.calls
            && self.address == other.address
            && self.refused == other.refused
    }
}

/// What a registry is shown.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user and a password: for basic authentication, and to get tokens.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A token that is sent as it is.
    Bearer(SecretString),
    /// A token for getting tokens (`identitytoken` of Docker's configuration).
    Identity(SecretString),
    /// A token of a Dhow. Sent only to a registry that calls itself one; any other gets what Docker's configuration has.
    Dhow(SecretString),
}

impl Credentials {
    fn same(&self, other: &Self) -> bool {
        let equal = |a: &SecretString, b: &SecretString| a.expose_secret() == b.expose_secret();
        match (self, other) {
            (Self::Basic { user: a, password: b }, Self::Basic { user: c, password: d }) => {
                a == c && equal(b, d)
            }
            (Self::Bearer(a), Self::Bearer(b))
            | (Self::Identity(a), Self::Identity(b))
            | (Self::Dhow(a), Self::Dhow(b)) => equal(a, b),
            _ => false,
        }
    }
}

/// Which of Docker's configurations holds credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerConfig {
    /// None.
    Ignore,
    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    Default,
    /// This file.
    File(PathBuf),
}
