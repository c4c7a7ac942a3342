//! Edits back that were left out, because what ran before a failure was in quarantine too: they follow once that is free,
//! or once the deployment went on to a release that the fleet may say.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, Pin};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{DeploymentRow, End, Hold, Release, Restore, Rollout, State};

use super::turn_back::{changed, restores};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::Scope;

impl Inner {
    /// Adds the edits back to a version that leaves quarantine to an entry. True: there are some.
    pub(crate) async fn stage_left_out(
        self: &Arc<Self>,
        scope @ (service, environment): &Scope,
        freed: &Pin,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let mut left_out: BTreeMap<ArtifactName, Restore> = BTreeMap::new();
        for id in self.view()?.deployments_of(service, environment) {
            let row = self.row(&id).await?;
            let stalled = row.phase == Some(State::Stalled) && row.running == row.healthy_release;
            let (Some(desired), Some(running)) = (row.desired, row.running.filter(|_| stalled)) else {
                continue;
            };
            let Some((restores, _)) = self.left_out(&row, &desired, &running).await? else { continue };
            for (artifact, restore) in restores {
                let back = &restore.back;
                if (&back.repository, back.digest) == (&freed.repository, freed.digest) {
                    left_out.entry(artifact).or_insert(restore);
                }
            }
        }
        let some = !left_out.is_empty();
        self.stage_restores(scope, left_out, entry).await?;
        Ok(some)
    }

    /// Adds the edit back to what a way back brought a deployment to, where the fleet still says what failed there. What
    /// the old version would be with files that failed stays held. True: there is one.
    pub(super) async fn stage_left_out_of(
        self: &Arc<Self>,
        row: &DeploymentRow,
        way_back: &Rollout,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let id = &row.id;
        let is_new = row.desired != row.running && row.removal.is_none() && row.unclear.is_none();
        let Some(desired) = row.desired.filter(|_| is_new) else { return Ok(false) };
        let last = self.last_rollouts(id).await?;
        let tried = last.iter().find(|rollout| rollout.hash == desired && !rollout.is_rollback);
        let failed =
            tried.is_some_and(|rollout| rollout.state.is_final() && rollout.end == Some(End::Failed));
        let comes = self.open_rollouts(id).await?.iter().any(|r| r.number != way_back.number);
        if !failed || comes {
            return Ok(false);
        }
        let Some((left_out, back)) = self.left_out(row, &desired, &way_back.hash).await? else {
            return Ok(false);
        };
        let spent = self.quarantined_here(id, left_out.values().map(|restore| &restore.back)).await?;
        if left_out.is_empty() || spent.is_some() {
            return Ok(false);
        }
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        if let Some(mut hold) = hold.filter(|hold| hold.files) {
            let mixed = self.new_files_old_versions(id, &back).await?.filter(|mixed| *mixed != back.hash);
            hold.hashes.entry(id.clone()).or_default().extend(mixed);
            entry.put(&hold)?;
        }
        self.stage_restores_too(&(id.service.clone(), id.environment.clone()), left_out, entry).await?;
        Ok(true)
    }

    /// The edit back from what the fleet says of a deployment to what runs, as far as that is in quarantine; and the release
    /// that runs. `None`: nothing is known of the one or the other.
    async fn left_out(
        &self,
        row: &DeploymentRow,
        desired: &DesiredHash,
        running: &DesiredHash,
    ) -> Result<Option<(BTreeMap<ArtifactName, Restore>, Release)>, EngineError> {
        let id = &row.id;
        let releases = (self.release(id, desired).await?, self.release(id, running).await?);
        let (Some(failed), Some(back)) = releases else { return Ok(None) };
        let mut left_out = BTreeMap::new();
        for (artifact, restore) in restores(&changed(&failed, Some(&back)), &back) {
            if self.is_quarantined_at(&id.service, &id.environment, &restore.failed).await? {
                left_out.insert(artifact, restore);
            }
        }
        Ok(Some((left_out, back)))
    }
}
