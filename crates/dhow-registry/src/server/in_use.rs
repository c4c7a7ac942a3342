//! What must not go: asked of the process that embeds the registry.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dhow_core::noun::Digest;
use thiserror::Error;

/// It could not be found out what is in use. Nothing is deleted then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it cannot be told what is in use: {0}")]
pub struct InUseUnknown(pub String);

/// Knows which digests the fleet's head pins, releases keep and proposals name.
#[async_trait]
pub trait InUse: Send + Sync {
    /// Every digest in use, each with its reason in plain words (`pinned by shop in production`).
    /// Digests of other registries may be among them.
    async fn digests(&self) -> Result<BTreeMap<Digest, String>, InUseUnknown>;

    /// Why this digest may not be deleted from this repository; `None` where nothing uses it.
    async fn why(&self, repository: &str, digest: &Digest) -> Result<Option<String>, InUseUnknown> {
        let _ = repository;
        Ok(self.digests().await?.remove(digest))
    }
}

/// Nothing is in use: for a registry that stands alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingInUse;

#[async_trait]
impl InUse for NothingInUse {
    async fn digests(&self) -> Result<BTreeMap<Digest, String>, InUseUnknown> {
        Ok(BTreeMap::new())
    }
}
