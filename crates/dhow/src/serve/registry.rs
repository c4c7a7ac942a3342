//! The embedded registry's ties: who may push, what must stay, who hears of tags.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use dhow_core::noun::{Digest, Pin, Repository};
use dhow_core::port::{Scan, StoreExt as _};
use dhow_core::rollout::{Ask, DeploymentRow, Proposal, Release};
use dhow_engine::Engine;
use dhow_registry::server::{
    Action, Authorizer, Decision, InUse, InUseUnknown, Presented, Registry, Settings, TagWritten,
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Content that nothing uses is collected when it is older than this.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often it is looked for.
const COLLECT: Duration = Duration::from_secs(6 * 3600);

struct Door {
    tokens: dhow_web::Tokens,
    own: SecretString,
}

#[async_trait]
impl Authorizer for Door {
    async fn authorize(&self, presented: &Presented, _: Option<&str>, action: Action) -> Decision {
        let secret = match presented {
            Presented::Anonymous => return Decision::Unauthenticated,
            Presented::Basic { password, .. } => password,
            Presented::Bearer(token) => token,
        };
        let own = self.own.expose_secret().as_bytes().ct_eq(secret.expose_secret().as_bytes());
        if bool::from(own) {
            return match action {
                Action::Pull => Decision::Allow,
                Action::Push | Action::Delete => Decision::Forbidden("the engine only reads".into()),
            };
        }
        let identity = match self.tokens.check(secret).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return Decision::Unauthenticated,
            Err(error) => return Decision::Forbidden(format!("the token cannot be checked now: {error}")),
        };
        let needs = match action {
            Action::Pull => dhow_web::Permission::Read,
            Action::Push => dhow_web::Permission::Push,
            Action::Delete => dhow_web::Permission::Tokens,
        };
        if identity.role.allows(needs) {
            Decision::Allow
        } else {
            Decision::Forbidden(format!(
                "the token {} has the role {}, which may not do this",
                identity.name, identity.role
            ))
        }
    }
}

struct Use {
    engine: Engine,
}

#[async_trait]
impl InUse for Use {
    async fn digests(&self) -> Result<BTreeMap<Digest, String>, InUseUnknown> {
        let unknown = |e: dhow_core::port::StoreError| InUseUnknown(e.to_string());
        let store = self.engine.store();
        let mut used = BTreeMap::new();
        let mut add = |pins: Vec<&Pin>, why: String| {
            for pin in pins {
                used.entry(pin.digest).or_insert_with(|| why.clone());
            }
        };
        for row in store.list::<DeploymentRow>(Scan::default()).await.map_err(unknown)? {
            add(row.desired_pins.values().collect(), format!("pinned by {} at the fleet's head", row.id));
        }
        for release in store.list::<Release>(Scan::default()).await.map_err(unknown)? {
            add(
                release.rendered.pins.values().collect(),
                format!("kept as a release of {}", release.deployment),
            );
        }
        let open = Scan { open_only: true, ..Scan::default() };
        for proposal in store.list::<Proposal>(open).await.map_err(unknown)? {
            if let Ask::Update { pins, .. } = &proposal.ask {
                add(
                    pins.values().collect(),
                    format!("proposed for {} in {}", proposal.service, proposal.environment),
                );
            }
        }
        Ok(used)
    }
}

/// Opens the registry's folder.
pub fn open(
    root: &Path,
    tokens: dhow_web::Tokens,
    own: SecretString,
    engine: &Engine,
) -> Result<(Registry, broadcast::Receiver<TagWritten>)> {
    let (sender, receiver) = broadcast::channel(4096);
    let registry = Registry::open(
        Settings::new(root),
        Arc::new(Door { tokens, own }),
        Arc::new(Use { engine: engine.clone() }),
        Arc::new(sender),
    )
    .with_context(|| format!("the registry's folder {} cannot be used", root.display()))?;
    Ok((registry, receiver))
}

/// Tells the engine of every tag the instant it is written. What is lost is found by the periodic pass.
pub async fn follow_tags(
    mut tags: broadcast::Receiver<TagWritten>,
    engine: Engine,
    hosts: Vec<String>,
    stop: CancellationToken,
) {
    loop {
        let written = tokio::select! {
            () = stop.cancelled() => return,
            written = tags.recv() => written,
        };
        match written {
            Ok(written) => {
                for host in &hosts {
                    if let Ok(repository) = format!("{host}/{}", written.repository).parse::<Repository>() {
                        engine.nudge_repository(&repository);
                    }
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Collects content that nothing uses, from time to time.
pub async fn collect(registry: Registry, engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(COLLECT) => {}
        }
        let used = Use { engine: engine.clone() };
        match registry.collect(&used, KEEP, SystemTime::now()).await {
            Ok(collected) => tracing::info!(?collected, "the registry was tidied up"),
            Err(error) => tracing::warn!(%error, "the registry could not be tidied up; nothing was removed"),
        }
    }
}
