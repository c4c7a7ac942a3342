//! What failed and still stands in the fleet while something else runs. Its edit back is left out where what ran before was
//! in quarantine too; it follows once that is free, or once the deployment went on to a release that the fleet may say.

use std::collections::BTreeMap;
use std::slice;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::port::{CommitId, StoreExt as _};
use dhow_core::rollout::{
    DeploymentRow, End, Event, Hold, Quarantined, Release, Restore, Rollout, State, UpdateRow,
};

use super::turn_back::{changed, restores};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::Scope;

/// What failed, and the fleet says of a deployment still.
struct Failed {
    /// Where it was said when it was tried.
    commit: CommitId,
    release: Release,
    /// Not here, but in another deployment of the service.
    elsewhere: bool,
    /// It brought other files than what ran then.
    files: bool,
    /// In words.
    why: String,
}

impl Inner {
    /// Adds the edits back of all deployments to an entry, where a version leaves quarantine. True: there are some.
    pub(crate) async fn stage_left_out(
        self: &Arc<Self>,
        scope @ (service, environment): &Scope,
        freed: &Pin,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let mut rows = Vec::new();
        for id in self.view()?.deployments_of(service, environment) {
            rows.push(self.row(&id).await?);
        }
        let before = rows.clone();
        let some = self.stage_edits_back(scope, &mut rows, (None, Some(freed)), entry).await?;
        for (row, _) in rows.iter().zip(&before).filter(|(row, before)| row != before) {
            entry.put(row)?;
        }
        Ok(some)
    }

    /// The same for one deployment, whose row is changed and not stored. `ends`: a rollout of it that is at its end.
    pub(crate) async fn stage_left_out_of(
        self: &Arc<Self>,
        row: &mut DeploymentRow,
        ends: Option<&Rollout>,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let scope = (row.id.service.clone(), row.id.environment.clone());
        self.stage_edits_back(&scope, slice::from_mut(row), (ends, None), entry).await
    }

    async fn stage_edits_back(
        self: &Arc<Self>,
        scope: &Scope,
        rows: &mut [DeploymentRow],
        (ends, freed): (Option<&Rollout>, Option<&Pin>),
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let waiting = self.waiting_way_back(scope).await?;
        let mut update = waiting.clone();
        let mut left_out = Vec::new();
        for row in rows {
            let Some((failed, restores)) = self.left_out(row, ends, freed).await? else { continue };
            for (artifact, restore) in restores {
                let restore = match update.restore.remove(&artifact) {
                    Some(waiting) if self.in_quarantine(&row.id, &waiting.back, freed).await?.is_none() => {
                        waiting.with(&restore)
                    }
                    Some(waiting) => restore.after(&waiting),
                    None => restore,
                };
                update.restore.insert(artifact, restore);
            }
            left_out.push((row, failed));
        }
        if update == waiting {
            return Ok(false);
        }
        // What people wrote since it failed stays, and is not edited; nor is anything where that cannot be told any more.
        let view = self.view()?;
        let told = self.can_be_told(&view, &update).await?;
        if !told || self.edits(&view, &update).await? == self.edits(&view, &waiting).await? {
            return Ok(false);
        }
        entry.put(&update)?;
        let (service, environment) = scope;
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let files = left_out.iter().find(|(_, failed)| failed.files).map(|(_, failed)| failed.why.clone());
        if let Some(known) = hold.filter(|hold| hold.files) {
            let mut hold = known.clone();
            self.hold_failed_files(&update, &mut hold).await?;
            if let Some(why) = files {
                hold.message = format!("{why}; it waits for other files");
            }
            if hold != known {
                let (service, environment) = (service.clone(), environment.clone());
                let reason = hold.message.clone();
                entry.event(Event::Held { service, environment, reason, by: None }).put(&hold)?;
            }
        }
        for (row, failed) in left_out {
            row.waiting_for =
                Some(format!("the edit back in the fleet; what it says failed: {}", failed.why));
        }
        Ok(true)
    }

    /// Holds what deployments would be after an edit back, where the files that stay failed there.
    pub(super) async fn hold_failed_files(
        self: &Arc<Self>,
        update: &UpdateRow,
        hold: &mut Hold,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        let mut with_files = Vec::new();
        for id in view.deployments_of(&update.service, &update.environment) {
            let row = self.row(&id).await?;
            if self.failed(&row).await?.is_some_and(|failed| failed.files) {
                with_files.push(id);
            }
        }
        if with_files.is_empty() {
            return Ok(());
        }
        let changes = self.edits(&view, update).await?.apply(view.tree.as_ref());
        let hashes = match changes {
            Ok(changes) => self.would_be(&view, &changes, &update.service, &update.environment).await,
            Err(error) => Err(error),
        };
        let hashes = match hashes {
            Ok(hashes) => hashes,
            // They are tried then, and fail as they did before.
            Err(EngineError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for id in with_files {
            hold.hashes.entry(id.clone()).or_default().extend(hashes.get(&id));
        }
        Ok(())
    }

    /// What failed in a deployment and should leave the fleet, for what runs there now.
    async fn left_out(
        &self,
        row: &DeploymentRow,
        ends: Option<&Rollout>,
        freed: Option<&Pin>,
    ) -> Result<Option<(Failed, BTreeMap<ArtifactName, Restore>)>, EngineError> {
        let id = &row.id;
        let rests = row.removal.is_none() && row.unclear.is_none() && row.stop.is_none();
        let healthy = row.running.filter(|running| rests && row.healthy_release == Some(*running));
        let Some(running) = healthy else { return Ok(None) };
        let comes = |r: &Rollout| ends.is_none_or(|ends| ends.number != r.number);
        if self.open_rollouts(id).await?.iter().any(comes) {
            return Ok(None);
        }
        let (Some(mut failed), Some(back)) = (self.failed(row).await?, self.release(id, &running).await?)
        else {
            return Ok(None);
        };
        let mut left_out = BTreeMap::new();
        for (artifact, restore) in restores(&changed(&failed.release, Some(&back)), &back) {
            // A person's word takes nothing back that works.
            let of_failure = |quarantined: &Quarantined| !failed.elsewhere || quarantined.by.is_none();
            let quarantined = self.in_quarantine(id, &restore.failed, freed).await?.filter(of_failure);
            let Some(quarantined) = quarantined else { continue };
            if self.in_quarantine(id, &restore.back, freed).await?.is_some() {
                return Ok(None);
            }
            failed.why = quarantined.reason;
            left_out.insert(artifact, restore.asked_at(&failed.commit));
        }
        Ok((!left_out.is_empty()).then_some((failed, left_out)))
    }

    /// Why the fleet may not say a version; `None`: it may, or is just about to.
    async fn in_quarantine(
        &self,
        id: &DeploymentId,
        pin: &Pin,
        freed: Option<&Pin>,
    ) -> Result<Option<Quarantined>, EngineError> {
        if freed.is_some_and(|freed| (&freed.repository, freed.digest) == (&pin.repository, pin.digest)) {
            return Ok(None);
        }
        let key = Quarantined::key_of(&id.service, &id.environment, &pin.repository, &pin.digest);
        Ok(self.ports.store.load(&key).await?)
    }

    /// What the fleet says of a deployment that runs something else, where that was tried and failed, or was taken back
    /// because a version of it failed elsewhere.
    async fn failed(&self, row: &DeploymentRow) -> Result<Option<Failed>, EngineError> {
        let id = &row.id;
        let Some(desired) = row.desired.filter(|desired| Some(*desired) != row.running) else {
            return Ok(None);
        };
        let last = self.last_rollouts(id).await?;
        let Some((rollout, elsewhere)) = last_try(&last, &desired) else { return Ok(None) };
        let Some(release) = self.release(id, &desired).await? else { return Ok(None) };
        let before = match rollout.before {
            Some(before) => self.release(id, &before).await?,
            None => None,
        };
        let files = !elsewhere && before.is_none_or(|before| before.files != release.files);
        let (commit, why) = (rollout.commit.clone(), rollout.reason.clone().unwrap_or_default());
        Ok(Some(Failed { commit, release, elsewhere, files, why }))
    }
}

/// Of the last rollouts of a deployment, newest first, the one that says why a release does not run: it failed here, or
/// (true) elsewhere.
fn last_try<'a>(last: &'a [Rollout], release: &DesiredHash) -> Option<(&'a Rollout, bool)> {
    let led_there = || last.iter().filter(|r| r.hash == *release && !r.is_rollback);
    // Where it was never tried here, what is said of its versions was found elsewhere.
    let Some(tried) = led_there().find(|r| !r.gave_way()) else {
        return led_there().next().map(|r| (r, true));
    };
    let taken_back = || last.iter().any(|r| r.number > tried.number && r.is_rollback && !r.gave_way());
    match &tried.end {
        Some(End::Failed) if tried.state.is_final() => Some((tried, false)),
        Some(End::FailedElsewhere) => Some((tried, true)),
        None if tried.state == State::Succeeded && taken_back() => Some((tried, true)),
        _ => None,
    }
}
