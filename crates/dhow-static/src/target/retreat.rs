//! The ways back: undoing steps, and removing a deployment.

use dhow_core::noun::{DeploymentId, Digest};
use dhow_core::port::{Context, Step, TargetError};

use super::StaticTarget;
use super::body::{self, Action};
use super::steps::host_taken;

impl StaticTarget {
    pub(super) async fn undo_here(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (id, hash) = (&context.rendered.deployment, body::digest(&context.hash)?);
        match Action::of(step)? {
            Action::Unpack { there_before } => {
                if there_before || context.keep.contains(&context.hash) {
                    return Ok(());
                }
                self.releases.discard(id, hash).await.map_err(|error| self.failed(error))
            }
            Action::Candidate => {
                self.stop_candidate(id, Some(hash)).await;
                Ok(())
            }
            Action::Switch { previous } => {
                let previous = previous.as_ref().map(body::digest).transpose()?;
                self.switch_back(id, hash, previous).await
            }
            Action::Hosts { previous } => {
                // Where another release took over meanwhile, its own hosts stand.
                let live = self.sites.live(id).is_some_and(|live| live.hash() == hash);
                if !live {
                    return Ok(());
                }
                self.sites.set_hosts(id, &previous).map_err(host_taken)?;
                self.note(context, hash, previous).await
            }
            // A mended release has no better state to go back to, and what was pruned is gone.
            _ => Ok(()),
        }
    }

    /// Where this release is not current, the disk stays as it is, and the web server follows it.
    async fn switch_back(
        &self,
        id: &DeploymentId,
        hash: Digest,
        previous: Option<Digest>,
    ) -> Result<(), TargetError> {
        let current = self.releases.current(id).await.map_err(|error| self.failed(error))?;
        if current == Some(hash) {
            match previous {
                Some(previous) => self.releases.switch(id, previous).await.map(drop),
                None => self.releases.clear_current(id).await,
            }
            .map_err(|error| self.failed(error))?;
        }
        self.follow_disk(id).await
    }

    /// Makes the web server serve what `current` names, for the hosts noted with it. Does nothing where it does.
    pub(super) async fn follow_disk(&self, id: &DeploymentId) -> Result<(), TargetError> {
        let Some((release, note)) = self.releases.live(id).await.map_err(|error| self.failed(error))? else {
            self.sites.remove(id);
            return Ok(());
        };
        self.sites.set_hosts(id, &note.unwrap_or_default().hosts).map_err(host_taken)?;
        self.go_live(release)
    }

    /// First out of sight, then off the disk: no request meets a file that is gone.
    pub(super) async fn remove_here(&self, id: &DeploymentId) -> Result<(), TargetError> {
        self.stop_candidate(id, None).await;
        self.sites.remove(id);
        self.releases.remove(id).await.map_err(|error| self.failed(error))
    }
}
