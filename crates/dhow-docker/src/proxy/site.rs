//! What a proxy is told: a site and its upstreams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dhow_core::fleet::{PasswordHash, Route, Tls};
use dhow_core::noun::DeploymentId;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::ProxyError;

/// Most upstreams of a site.
const MAX_UPSTREAMS: usize = 64;

/// Where requests of a site go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// As the proxy reaches it.
    pub address: SocketAddr,
    /// Its share of the requests, beside the others' weights: 1 to 100.
    pub weight: u16,
}

impl Upstream {
    /// One among equals.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, weight: 1 }
    }
}

/// A deployment as a proxy shows it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Whose route it is.
    pub deployment: DeploymentId,
    /// Its host.
    pub host: String,
    /// Only this path and those below it.
    pub path: Option<String>,
    /// Where its certificate comes from.
    pub tls: Tls,
    /// Hosts that lead to `host`.
    pub redirect_from: Vec<String>,
    /// Headers of every answer.
    pub headers: BTreeMap<String, String>,
    /// bcrypt hashes by user; empty: everybody may come in.
    pub users: BTreeMap<String, SecretString>,
    /// What visitors read while nothing is healthy (Caddy; Traefik has words of its own).
    pub maintenance: String,
}

impl Site {
    /// The site of a deployment's route. `secrets` gives the bcrypt hash for a user whose hash is kept elsewhere; it is an
    /// error where it has none, or what it has is no bcrypt hash.
    pub fn new(
        deployment: DeploymentId,
        route: &Route,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Self, ProxyError> {
        let mut users = BTreeMap::new();
        for (user, password) in &route.basic_auth {
            let hash = match password {
                PasswordHash::Bcrypt(hash) => SecretString::from(hash.as_str()),
                PasswordHash::Secret(reference) => {
                    let found = secrets.get(user).map(|hash| SecretString::from(hash.expose_secret().trim()));
                    let missing =
                        || ProxyError::Unable(format!("the hash of {user} ({reference}) is not there"));
                    found.ok_or_else(missing)?
                }
            };
            if !PasswordHash::is_bcrypt(hash.expose_secret()) {
                let message = format!("what is kept as the hash of {user} is no bcrypt hash ($2y$...)");
                return Err(ProxyError::Unable(message));
            }
            users.insert(user.clone(), hash);
        }
        Ok(Self {
            deployment,
            host: route.host.clone(),
            path: route.path.clone(),
            tls: route.tls.clone(),
            redirect_from: route.redirect_from.clone(),
            headers: route.headers.clone(),
            users,
            maintenance: "This site is being worked on. Please try again in a moment.\n".into(),
        })
    }

    /// How long open requests and WebSockets of an old version are waited for.
    pub fn drain_time(route: &Route, drain: Duration) -> Duration {
        drain.max(route.websocket_timeout.unwrap_or_default())
    }
}

/// A name of a deployment that no other has: no name of its parts holds a `~`.
pub(super) fn name(deployment: &DeploymentId) -> String {
    format!("dhow~{}~{}~{}", deployment.service, deployment.target, deployment.environment)
}

/// A number of what was written: equal ones mean equal texts. Secrets may be in the text: it tells nothing of them.
pub(super) fn mark(value: &Value) -> String {
    hex::encode(&Sha256::digest(value.to_string())[..12])
}

/// The path at which only the proxy itself answers, and only with the configuration of this mark.
pub(super) fn mark_path(site: &Site, mark: &str) -> String {
    format!("{}/.well-known/dhow/{mark}", site.path.as_deref().unwrap_or(""))
}

/// Where the answer there leads.
pub(super) fn mark_location(mark: &str) -> String {
    format!("/.well-known/dhow/{mark}/live")
}

/// Upstreams, sorted; an error where one is named twice or a weight is out of range.
pub(super) fn checked(upstreams: &[Upstream]) -> Result<Vec<Upstream>, ProxyError> {
    let mut sorted = upstreams.to_vec();
    sorted.sort();
    if sorted.len() > MAX_UPSTREAMS {
        return Err(ProxyError::Unable(format!(
            "{} upstreams; at most {MAX_UPSTREAMS} can be",
            sorted.len()
        )));
    }
    if let Some(twice) = sorted.windows(2).find(|two| two[0].address == two[1].address) {
        return Err(ProxyError::Unable(format!("the upstream {} is named twice", twice[0].address)));
    }
    if let Some(bad) = sorted.iter().find(|upstream| !(1..=100).contains(&upstream.weight)) {
        return Err(ProxyError::Unable(format!("the weight of {} is not from 1 to 100", bad.address)));
    }
    Ok(sorted)
}
