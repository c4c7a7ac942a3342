//! Docker: the places where containers run, and the logins for pulls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use dhow_core::port::TargetError;
use dhow_docker::compose::{ComposeTarget, Login, Logins, Options, Unrouted};
use dhow_docker::executor::{Places, PlacesConfig};
use dhow_registry::client::Credentials;

use super::config::FileConfig;
use super::source::Source;

/// The target `compose`, on this machine and on the servers of the fleet's head. Nothing is connected yet.
pub fn compose(config: &FileConfig, state: &Path, source: &Source) -> Result<ComposeTarget> {
    let state = std::path::absolute(state).context("the state directory has no absolute path")?;
    let servers = source.clone();
    let places = Places::new(PlacesConfig {
        home: state.join("place"),
        known_hosts: state.join("known_hosts"),
        identities: config.identities.clone(),
        servers: Arc::new(move || servers.servers()),
    })?;
    let logins = Arc::new(PullLogins { source: source.clone() });
    Ok(ComposeTarget::new(Arc::new(places), Arc::new(Unrouted), logins, Options::default()))
}

/// A login for a pull is what the versions are read with: the fleet's reference, where `--config` allows it.
struct PullLogins {
    source: Source,
}

#[async_trait]
impl Logins for PullLogins {
    async fn login(&self, registry: &str) -> Result<Option<Login>, TargetError> {
        let credentials = self.source.credentials(registry).await.map_err(TargetError::Blocked)?;
        Ok(credentials.map(|credentials| match credentials {
            Credentials::Basic { user, password } => Login { user, password },
            Credentials::Bearer(secret) | Credentials::Identity(secret) | Credentials::Dhow(secret) => {
                Login { user: "token".into(), password: secret }
            }
        }))
    }
}

/// The servers that the fleet named when it could last be read.
pub type Servers = BTreeMap<dhow_core::noun::ServerName, dhow_core::fleet::Server>;
