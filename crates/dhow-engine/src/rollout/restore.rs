//! Going back: what ran before runs again, the failed version is quarantined, and the fleet gets an edit (design rules
//! 5.6 and 5.7).

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::port::{Context, Place, StoreExt as _, Target};
use dhow_core::rollout::{
    DeploymentRow, End, Event, Health, Hold, HoldReason, Quarantined, Release, Restore, Rollout, StepState,
    Transition, UpdateRow, Why,
};

use futures::future::join_all;
use tokio::sync::Mutex;

use super::Turn;
use super::steps::{done, failed, started};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

impl Inner {
    /// Takes the steps back, then draws the conclusions.
    pub(super) async fn roll_back(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        let (_, target, context) = self.context(&rollout).await?;
        let troubles = self.undo_all(&mut rollout, target.as_ref(), &context).await?;
        if !troubles.is_empty() {
            self.tell(&mut rollout, &troubles.join("; ")).await?;
            return Ok(Turn::Retry);
        }
        let id = rollout.deployment.clone();
        let others = {
            let held = self.lock(&rollout).await;
            self.conclude(&held, rollout).await?
        };
        for other in &others {
            self.interrupt(other);
            self.kick(other);
        }
        self.updates_ready.notify_one();
        self.select_downstream(&id.service, &id.environment);
        Ok(Turn::On)
    }

    /// Takes every step back that was begun: place beside place, each place's last step first. One that cannot go back
    /// holds up no other. The answer: what does not work.
    async fn undo_all(
        &self,
        rollout: &mut Rollout,
        target: &dyn Target,
        context: &Context,
    ) -> Result<Vec<String>, EngineError> {
        let mut lanes: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (at, record) in rollout.steps.iter().enumerate().rev() {
            if !matches!(record.state, StepState::Planned | StepState::Undone) {
                lanes.entry(record.step.place.clone()).or_default().push(at);
            }
        }
        let shared = Mutex::new(rollout);
        let lanes = lanes.into_values().map(|lane| {
            let shared = &shared;
            async move {
                for at in lane {
                    if let Some(trouble) = self.undo_step(shared, at, target, context).await? {
                        return Ok(Some(trouble));
                    }
                }
                Ok(None)
            }
        });
        let ended: Vec<Result<Option<String>, EngineError>> = join_all(lanes).await;
        let troubles: Result<Vec<Option<String>>, EngineError> = ended.into_iter().collect();
        Ok(troubles?.into_iter().flatten().collect())
    }

    async fn undo_step(
        &self,
        rollout: &Mutex<&mut Rollout>,
        at: usize,
        target: &dyn Target,
        context: &Context,
    ) -> Result<Option<String>, EngineError> {
        let step = {
            let rollout = rollout.lock().await;
            let step = rollout.steps[at].step.clone();
            let mut entry = Entry::new();
            entry.event(started(&rollout, &step, true));
            self.journal.write(entry).await?;
            step
        };
        let undone = target.undo(&step, context).await;
        let mut rollout = rollout.lock().await;
        let mut entry = Entry::new();
        let trouble = match undone {
            Ok(()) => {
                rollout.steps[at].state = StepState::Undone;
                entry.event(done(&rollout, &step, true)).put(&**rollout)?;
                None
            }
            Err(error) => {
                let on = context.rendered.on(&step.place);
                let reason = format!("going back failed{on}: {error}");
                // What fails in the same way again is no news.
                if !rollout.reason.as_deref().is_some_and(|told| told.contains(&reason)) {
                    entry.event(failed(&rollout, &step, true, reason.clone()));
                }
                Some(reason)
            }
        };
        self.journal.write(entry).await?;
        Ok(trouble)
    }

    /// Stores what follows from going back, in one batch. The answer: other deployments that have to act.
    async fn conclude(
        self: &Arc<Self>,
        held: &Held,
        mut rollout: Rollout,
    ) -> Result<Vec<DeploymentId>, EngineError> {
        let mut row = self.row(&rollout.deployment).await?;
        let mut entry = Entry::new();
        let reason = rollout.reason.clone().unwrap_or_else(|| "it failed".into());
        let mut others = Vec::new();
        let mut again = false;
        let (transition, reason) = match rollout.end.clone().unwrap_or(End::Failed) {
            End::Removed => (Transition::RestoredAfterCancel, None),
            End::GaveWay => {
                // The newer one may have gone meanwhile: then this one is wanted again.
                if row.desired == Some(rollout.hash) && !self.newer_waits(&rollout).await? {
                    again = true;
                }
                (Transition::Restored, None)
            }
            End::Cancelled(by) => {
                let mut hold = self.hold_with(&rollout, HoldReason::Cancelled, &reason).await?;
                hold.by = Some(by);
                entry.put(&hold)?;
                (Transition::RestoredAfterCancel, None)
            }
            End::FailedElsewhere => {
                let hold = self.hold_with(&rollout, HoldReason::Failed, &reason).await?;
                entry.put(&hold)?;
                (Transition::Restored, None)
            }
            End::Failed if rollout.is_rollback => {
                row.waiting_for = Some("a person: another `dhow rollback`, or a commit".into());
                (
                    Transition::Stall,
                    Some(format!("{reason}; going back to it failed, what ran before still runs")),
                )
            }
            End::Failed => self.blame(held, &rollout, &mut row, &reason, &mut entry, &mut others).await?,
        };
        let waiting_for = row.waiting_for.clone();
        self.stage_move(held, &mut rollout, &mut row, transition, reason, &mut entry)?;
        if transition == Transition::Stall {
            row.waiting_for = waiting_for;
            if row.running.is_none() {
                row.health = Health::Missing;
            }
        }
        entry.put(&rollout)?;
        if again {
            let next = self.new_rollout(&mut row, &rollout.hash, &rollout.commit, false);
            self.stage_rollout(held, row, next, &mut entry).await?;
        } else {
            entry.put(&row)?;
        }
        self.journal.write(entry).await?;
        Ok(others)
    }

    /// What a failed release means: quarantine, hold, the edit back, and the other deployments that took its versions.
    async fn blame(
        self: &Arc<Self>,
        held: &Held,
        rollout: &Rollout,
        row: &mut DeploymentRow,
        reason: &str,
        entry: &mut Entry,
        others: &mut Vec<DeploymentId>,
    ) -> Result<(Transition, Option<String>), EngineError> {
        let id = &rollout.deployment;
        let mends = "a commit that mends it, or another version";
        let Some(failed) = self.release(id, &rollout.hash).await? else {
            row.waiting_for = Some(mends.into());
            return Ok((Transition::Stall, Some(reason.to_owned())));
        };
        if row.healthy_release == Some(rollout.hash) {
            row.waiting_for = Some(format!("`dhow sync {} {}`, or a commit", id.service, id.environment));
            let told = format!("{reason}; this release was healthy before, so nothing is quarantined");
            return Ok((Transition::Stall, Some(told)));
        }
        let back = match row.healthy_release.or(row.running).filter(|hash| *hash != rollout.hash) {
            Some(hash) => self.release(id, &hash).await?,
            None => None,
        };
        let versions = changed(&failed, back.as_ref());
        for pin in versions.values() {
            self.stage_quarantine(id, pin, reason, entry)?;
        }
        let Some(back) = back else {
            row.waiting_for = Some(mends.into());
            let told = format!(
                "{reason}; no release of it was healthy before, so nothing runs; the next version is tried"
            );
            return Ok((Transition::Stall, Some(told)));
        };
        let files_changed = back.files != failed.files;
        let mut hold = self.hold_with(rollout, HoldReason::Failed, reason).await?;
        if files_changed {
            let mixed = self.new_files_old_versions(id, &back).await?;
            hold.hashes.entry(id.clone()).or_default().extend(mixed);
            // Where the fleet says something else by now, its files may be mended.
            hold.files |= row.desired == Some(rollout.hash) || (mixed.is_some() && row.desired == mixed);
        }
        self.stage_restore(id, restores(&versions, &back), entry).await?;
        self.stage_siblings(held, id, &versions, &mut hold, entry, others).await?;
        entry.event(Event::Held {
            service: id.service.clone(),
            environment: id.environment.clone(),
            reason: reason.to_owned(),
            by: None,
        });
        entry.put(&hold)?;
        if files_changed || versions.is_empty() {
            row.waiting_for = Some("a commit that mends its files".into());
            let told = format!("{reason}; the last healthy release runs; it waits for other files");
            return Ok((Transition::Stall, Some(told)));
        }
        Ok((Transition::Restored, None))
    }

    /// Adds the edit back to an entry, together with one that waits already.
    async fn stage_restore(
        &self,
        id: &DeploymentId,
        restore: BTreeMap<ArtifactName, Restore>,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        if restore.is_empty() {
            return Ok(());
        }
        let key = UpdateRow::key_of(&id.service, &id.environment, Why::Rollback);
        let known: Option<UpdateRow> = self.ports.store.load(&key).await?;
        let mut update = known.unwrap_or_else(|| UpdateRow {
            service: id.service.clone(),
            environment: id.environment.clone(),
            pins: BTreeMap::new(),
            restore: BTreeMap::new(),
            why: Why::Rollback,
            by: None,
            proposal: None,
        });
        update.restore.extend(restore);
        entry.put(&update)?;
        Ok(())
    }

    /// The hold of a service in an environment, with this rollout's release in it.
    pub(super) async fn hold_with(
        &self,
        rollout: &Rollout,
        reason: HoldReason,
        message: &str,
    ) -> Result<Hold, EngineError> {
        let id = &rollout.deployment;
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let mut hold = known
            .unwrap_or_else(|| Hold::new(id.service.clone(), id.environment.clone(), reason, self.now_ms()));
        message.clone_into(&mut hold.message);
        hold.hashes.entry(id.clone()).or_default().insert(rollout.hash);
        Ok(hold)
    }

    fn stage_quarantine(
        &self,
        id: &DeploymentId,
        pin: &Pin,
        reason: &str,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let quarantined = Quarantined {
            service: id.service.clone(),
            environment: id.environment.clone(),
            pin: pin.clone(),
            reason: reason.to_owned(),
            by: None,
            at_ms: self.now_ms(),
        };
        entry.put(&quarantined)?.event(Event::Quarantined {
            service: id.service.clone(),
            environment: id.environment.clone(),
            repository: pin.repository.clone(),
            digest: pin.digest,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// The hash that the old versions would have with the new files: held as well.
    pub(crate) async fn new_files_old_versions(
        self: &Arc<Self>,
        id: &DeploymentId,
        back: &Release,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let view = self.view()?;
        let pins = &back.rendered.pins;
        let edits = crate::update::Edits::set(&view, &id.service, &id.environment, pins);
        let Ok(changes) = edits.apply(view.tree.as_ref()) else { return Ok(None) };
        match self.would_be(&view, &changes, &id.service, &id.environment).await {
            Ok(hashes) => Ok(hashes.get(id).copied()),
            Err(EngineError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The versions of a release that differ from those of another.
fn changed(failed: &Release, back: Option<&Release>) -> BTreeMap<ArtifactName, Pin> {
    let same = |artifact: &ArtifactName, pin: &Pin| {
        back.and_then(|b| b.rendered.pins.get(artifact)).is_some_and(|old| old.digest == pin.digest)
    };
    failed.rendered.pins.iter().filter(|(a, p)| !same(a, p)).map(|(a, p)| (a.clone(), p.clone())).collect()
}

/// The edit that puts the versions of `back` where failed ones stand.
fn restores(failed: &BTreeMap<ArtifactName, Pin>, back: &Release) -> BTreeMap<ArtifactName, Restore> {
    failed
        .iter()
        .filter_map(|(artifact, pin)| {
            let back = back.rendered.pins.get(artifact)?;
            Some((artifact.clone(), Restore { failed: pin.clone(), back: back.clone() }))
        })
        .collect()
}
