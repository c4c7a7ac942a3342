//! What should a deployment run at a commit?

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::{DesiredHash, desired_hash};
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::port::{RenderInput, Rendered, SourceError, Target, TargetError};

use crate::engine::{EngineError, Inner};
use crate::update::without_versions;
use crate::view::View;

/// What a deployment should run.
pub(crate) struct Ready {
    /// In the target's words.
    pub rendered: Rendered,
    /// Its identity.
    pub hash: DesiredHash,
    /// The identity of all of it but the versions.
    pub files: DesiredHash,
    /// What runs it.
    pub target: Arc<dyn Target>,
}

/// The answer: a release, or why there is none.
pub(crate) enum Desired {
    /// This.
    Ready(Box<Ready>),
    /// A version is not set yet: the first update sets it.
    NoVersion(ArtifactName),
    /// This build does not run deployments of the type.
    NoTarget,
    /// The files cannot be run as they are; a person must mend them.
    Broken(String),
    /// It cannot be told now; it is tried again.
    Later(String),
}

impl Inner {
    /// What a deployment should run at the view's commit.
    pub(crate) async fn desired(
        self: &Arc<Self>,
        view: &View,
        id: &DeploymentId,
    ) -> Result<Desired, EngineError> {
        let Some(deployment) = view.fleet.deployments.get(id).cloned() else {
            return Ok(Desired::Broken(format!("{id} is not in the fleet")));
        };
        let Some(target) = self.target(id.target) else { return Ok(Desired::NoTarget) };
        let pins = match self.pins(view, id).await {
            Ok(Ok(pins)) => pins,
            Ok(Err(artifact)) => return Ok(Desired::NoVersion(artifact)),
            Err(SourceError::NotFound(what)) => {
                return Ok(Desired::Later(format!("{what} is not in its registry")));
            }
            Err(error) => return Ok(Desired::Later(error.to_string())),
        };
        let input = RenderInput {
            deployment: Arc::clone(&deployment),
            tree: Arc::clone(&view.tree),
            pins: pins.clone(),
        };
        let rendered = match target.render(input).await {
            Ok(rendered) => rendered,
            Err(TargetError::Passing(reason)) => return Ok(Desired::Later(reason)),
            Err(error) => return Ok(Desired::Broken(error.to_string())),
        };
        let hash = desired_hash(view.tree.as_ref(), &deployment, &rendered.reads, &pins)?;
        let blank = without_versions(view, id)?;
        let files = desired_hash(&blank, &deployment, &rendered.reads, &BTreeMap::new())?;
        Ok(Desired::Ready(Box::new(Ready { rendered, hash, files, target })))
    }

    /// The versions of a deployment with digests; the inner error names an artifact whose version is not set.
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
                (None, Some(tag)) => match self.version_of(&repository, tag, false).await? {
                    Some(version) => version.pin(),
                    None => return Err(SourceError::NotFound(format!("{repository}:{tag}"))),
                },
                (None, None) => return Ok(Err(version.artifact.clone())),
            };
            pins.insert(version.artifact.clone(), pin);
        }
        Ok(Ok(pins))
    }
}
