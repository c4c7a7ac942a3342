//! Logins at registries: there for one command only.

use async_trait::async_trait;
use base64::Engine as _;
use dhow_core::port::TargetError;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::error;
use crate::compose::site::{Site, Turn};

/// A login at a registry.
pub struct Login {
    /// Who.
    pub user: String,
    /// The password, or a token.
    pub password: SecretString,
}

/// Logins for pulls.
#[async_trait]
pub trait Logins: Send + Sync {
    /// The login for a registry (`ghcr.io`, `docker.io`); `None` where it lets everybody read.
    ///
    /// # Errors
    /// The secret cannot be read now.
    async fn login(&self, registry: &str) -> Result<Option<Login>, TargetError>;
}

/// Every registry lets everybody read.
pub struct Anonymous;

#[async_trait]
impl Logins for Anonymous {
    async fn login(&self, _: &str) -> Result<Option<Login>, TargetError> {
        Ok(None)
    }
}

/// The folder of logins, below the deployment's own.
pub(crate) const FOLDER: &str = "login";

/// Writes a `DOCKER_CONFIG` with these logins, by registry. Whoever asked for it removes it after the command; what a crash
/// leaves goes with the next step.
///
/// # Errors
/// The place does not answer, or has seen a higher epoch.
pub(crate) async fn folder(
    site: &Site,
    turn: Turn<'_>,
    logins: &[(String, Login)],
) -> Result<String, TargetError> {
    let folder = format!("{}/{FOLDER}", site.root);
    site.make(turn, std::slice::from_ref(&folder)).await?;
    let mut auths = Map::new();
    for (registry, login) in logins {
        let key = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry.as_str() };
        let pair = format!("{}:{}", login.user, login.password.expose_secret());
        let auth = base64::engine::general_purpose::STANDARD.encode(pair);
        auths.insert(key.to_owned(), json!({ "auth": auth }));
    }
    let text = Value::from(Map::from_iter([("auths".to_owned(), Value::Object(auths))])).to_string();
    let path = format!("{folder}/config.json");
    site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)?;
    Ok(folder)
}
