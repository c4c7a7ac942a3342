//! What should a deployment run at a commit?

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::{Deployment, DesiredHash, Tree, VersionSite, desired_hash};
use dhow_core::noun::{ArtifactName, DeploymentId, Pin, Repository, Tag};
use dhow_core::port::{
    CommitId, RenderInput, Rendered, SourceError, StoreError, StoreExt as _, Target, TargetError,
};
use dhow_core::rollout::{Release, TagRow, WrittenPin};

use super::PATIENCE;
use crate::engine::{EngineError, Inner};
use crate::update::{Edits, Overlay};
use crate::view::View;

/// What a deployment should run.
pub(crate) struct Ready {
    /// In the target's words.
    pub rendered: Rendered,
    /// Its identity.
    pub hash: DesiredHash,
    /// The identity of all of it but the versions.
    pub files: DesiredHash,
    /// The deployment as the fleet declares it.
    pub deployment: Arc<Deployment>,
    /// What runs it.
    pub target: Arc<dyn Target>,
}

impl Ready {
    /// The release that it is, not yet proven.
    pub fn release(&self, commit: &CommitId) -> Release {
        Release {
            deployment: self.deployment.id.clone(),
            hash: self.hash,
            commit: commit.clone(),
            rendered: self.rendered.clone(),
            files: self.files,
            checks: self.deployment.settings.checks.clone(),
            healthy_at_ms: None,
        }
    }
}

/// The answer: a release, or why there is none.
pub(crate) type Desired = Result<Box<Ready>, Unready>;

/// Why there is no release.
pub(crate) enum Unready {
    /// A version is not set yet: the first update sets it.
    NoVersion(ArtifactName),
    /// This build does not run deployments of the type.
    NoTarget,
    /// The files cannot be run as they are; a person must mend them.
    Broken(String),
    /// A version is not where it should be; it is looked for again.
    Missing(String),
    /// It cannot be told now; it is tried again.
    Later(String),
}

impl Inner {
    /// What a deployment should run at the view's commit. What does not answer holds up the caller, and whoever waits for a
    /// lock of its, for [`PATIENCE`] at most.
    pub(crate) async fn desired(
        self: &Arc<Self>,
        view: &View,
        id: &DeploymentId,
    ) -> Result<Desired, EngineError> {
        tokio::time::timeout(PATIENCE, self.work_out(view, id))
            .await
            .unwrap_or_else(|_| Ok(Err(Unready::Later(format!("no answer within {} s", PATIENCE.as_secs())))))
    }

    /// What a deployment should run at the view's commit.
    async fn work_out(self: &Arc<Self>, view: &View, id: &DeploymentId) -> Result<Desired, EngineError> {
        let Some(deployment) = view.fleet.deployments.get(id).cloned() else {
            return Ok(Err(Unready::Broken(format!("{id} is not in the fleet"))));
        };
        let Some(target) = self.target(id.target) else { return Ok(Err(Unready::NoTarget)) };
        let pins = match self.pins(view, id).await {
            Ok(Ok(pins)) => pins,
            Ok(Err(artifact)) => return Ok(Err(Unready::NoVersion(artifact))),
            Err(SourceError::NotFound(what)) => {
                return Ok(Err(Unready::Missing(format!("{what} is not in its registry"))));
            }
            Err(error) => return Ok(Err(Unready::Later(error.to_string()))),
        };
        let input = RenderInput {
            deployment: Arc::clone(&deployment),
            tree: Arc::clone(&view.tree),
            pins: pins.clone(),
        };
        let rendered = match target.render(input).await {
            Ok(rendered) => rendered,
            Err(TargetError::Passing(reason)) => return Ok(Err(Unready::Later(reason))),
            Err(error) => return Ok(Err(Unready::Broken(error.to_string()))),
        };
        let hash = desired_hash(view.tree.as_ref(), &deployment, &rendered.reads, &pins)?;
        let files = files_hash(&view.tree, &deployment, &rendered.reads, view.sites(id))?;
        Ok(Ok(Box::new(Ready { rendered, hash, files, deployment, target })))
    }

    /// The versions of a deployment with digests; the inner error names an artifact whose version is not set. Where
    /// only a tag stands, it means what Dhow wrote there, else what it was when it was first seen.
    pub(crate) async fn pins(
        &self,
        view: &View,
        id: &DeploymentId,
    ) -> Result<Result<BTreeMap<ArtifactName, Pin>, ArtifactName>, SourceError> {
        let mut pins = BTreeMap::new();
        for version in view.sites(id) {
            let Some(repository) = view.repository(id, version) else { continue };
            let site = &version.site;
            let pin = match (site.digest, &site.tag) {
                (Some(digest), tag) => Pin { repository, tag: tag.clone(), digest },
                (None, Some(tag)) => {
                    match self.written_pin(id, version, &repository, tag).await.map_err(failed)? {
                        Some(pin) => pin,
                        None => match self.version_of(&repository, tag, false).await? {
                            Some(version) => version.pin(),
                            None => return Err(SourceError::NotFound(format!("{repository}:{tag}"))),
                        },
                    }
                }
                (None, None) => return Ok(Err(version.artifact.clone())),
            };
            pins.insert(version.artifact.clone(), pin);
        }
        Ok(Ok(pins))
    }

    /// The versions of a deployment as far as they are known without a word from a registry.
    pub(crate) async fn known_pins(
        &self,
        view: &View,
        id: &DeploymentId,
    ) -> Result<Vec<(ArtifactName, Pin)>, StoreError> {
        let mut pins = Vec::new();
        for version in view.sites(id) {
            let Some(repository) = view.repository(id, version) else { continue };
            let site = &version.site;
            let pin = match (site.digest, &site.tag) {
                (Some(digest), tag) => Some(Pin { repository, tag: tag.clone(), digest }),
                (None, Some(tag)) => match self.written_pin(id, version, &repository, tag).await? {
                    Some(pin) => Some(pin),
                    None => {
                        let seen: Option<TagRow> =
                            self.ports.store.load(&format!("{repository}:{tag}")).await?;
                        seen.map(|row| Pin { repository, tag: Some(row.tag), digest: row.digest })
                    }
                },
                (None, None) => None,
            };
            pins.extend(pin.map(|pin| (version.artifact.clone(), pin)));
        }
        Ok(pins)
    }

    /// What Dhow wrote at a site where only a tag can stand, as long as it stands there.
    async fn written_pin(
        &self,
        id: &DeploymentId,
        VersionSite { site, artifact, .. }: &VersionSite,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Pin>, StoreError> {
        let written: Option<WrittenPin> = self.ports.store.load(&WrittenPin::key_of(id, artifact)).await?;
        let stands = |pin: &Pin| pin.tag.as_ref() == Some(tag) && pin.repository == *repository;
        Ok(written.map(|written| written.pin).filter(|pin| stands(pin) && !site.holds_digest()))
    }
}

fn failed(error: StoreError) -> SourceError {
    SourceError::Unavailable { message: error.to_string(), retry_after: None }
}

/// The desired hash without the versions, wherever they stand: equal for two releases that differ in versions only.
pub(crate) fn files_hash(
    tree: &Arc<dyn Tree>,
    deployment: &Deployment,
    reads: &[String],
    sites: &[VersionSite],
) -> Result<DesiredHash, EngineError> {
    let none = BTreeMap::new();
    // Where a version cannot be written, the text itself counts.
    let changes = Edits::blank(sites).apply(tree.as_ref()).unwrap_or_default();
    let blank = Overlay::new(Arc::clone(tree), &changes);
    Ok(desired_hash(&blank, deployment, reads, &none)?)
}
