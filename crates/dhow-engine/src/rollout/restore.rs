//! Going back: what ran before runs again, the failed version is quarantined, and the fleet gets an edit (design rules
//! 5.6 and 5.7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{
    Event, Health, Hold, HoldReason, Quarantined, Release, Restore, Rollout, State, StepState, Transition,
    UpdateRow, Why,
};

use super::Turn;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::update::Edits;

impl Inner {
    /// Takes the steps back, then draws the conclusions.
    pub(super) async fn roll_back(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        let (_, target, context) = self.context(&rollout).await?;
        for at in (0..rollout.steps.len()).rev() {
            let step = rollout.steps[at].step.clone();
            if matches!(rollout.steps[at].state, StepState::Planned | StepState::Undone) {
                continue;
            }
            let (deployment, key, number) = (rollout.deployment.clone(), step.key.clone(), rollout.number);
            let mut entry = Entry::new();
            entry.event(Event::StepStarted {
                deployment: deployment.clone(),
                rollout: number,
                key: key.clone(),
                undo: true,
            });
            self.journal.write(entry).await?;
            if let Err(error) = target.undo(&step, &context).await {
                let reason = format!("going back failed: {error}");
                let mut entry = Entry::new();
                entry.event(Event::StepFailed {
                    deployment,
                    rollout: number,
                    key,
                    undo: true,
                    reason: reason.clone(),
                });
                self.journal.write(entry).await?;
                tracing::error!(deployment = %rollout.deployment, reason, "it is tried again");
                return Ok(Turn::After(Self::jitter(Duration::from_secs(5))));
            }
            rollout.steps[at].state = StepState::Undone;
            let mut entry = Entry::new();
            entry.event(Event::StepDone { deployment, rollout: number, key, undo: true });
            entry.put(&rollout)?;
            self.journal.write(entry).await?;
        }
        let id = rollout.deployment.clone();
        {
            let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
            self.conclude(rollout).await?;
        }
        self.withdraw_fallen(&id.service).await?;
        self.spawn_select(&id.service, &id.environment);
        Ok(Turn::On)
    }

    async fn conclude(self: &Arc<Self>, mut rollout: Rollout) -> Result<(), EngineError> {
        let id = rollout.deployment.clone();
        let row = self.row(&id).await?;
        let failed = self.release(&id, &rollout.hash).await?;
        let back = match &row.healthy_release {
            Some(hash) if *hash != rollout.hash => self.release(&id, hash).await?,
            _ => None,
        };
        let reason = rollout.reason.clone().unwrap_or_else(|| "it failed".into());
        let newer_waits = self.newer_waits(&rollout).await?;
        if rollout.cancelled_by.is_some() {
            let mut entry = Entry::new();
            let mut hold = self.hold(&rollout, HoldReason::Cancelled, &reason).await?;
            hold.by.clone_from(&rollout.cancelled_by);
            entry.put(&hold)?;
            return self.step_to(&mut rollout, Transition::RestoredAfterCancel, None, entry).await;
        }
        if newer_waits && !rollout.blame {
            return self.step_to(&mut rollout, Transition::Restored, None, Entry::new()).await;
        }
        let Some(failed) = failed else {
            return self.stall(&mut rollout, &reason, Entry::new()).await;
        };
        let versions = changed(&failed, back.as_ref());
        let files_changed = back.as_ref().is_some_and(|b| b.files != failed.files);
        let mut entry = Entry::new();
        for pin in versions.values() {
            self.quarantine(&id, pin, &reason, &mut entry)?;
        }
        let Some(back) = back else {
            let told = format!(
                "{reason}; no release of it was healthy before, so nothing runs; the next version is tried"
            );
            return self.stall(&mut rollout, &told, entry).await;
        };
        let mut hold = self.hold(&rollout, HoldReason::Failed, &reason).await?;
        hold.files |= files_changed;
        hold.instead.insert(id.clone(), back.hash);
        let restore = UpdateRow {
            service: id.service.clone(),
            environment: id.environment.clone(),
            pins: BTreeMap::new(),
            restore: restores(&versions, &back),
            why: Why::Rollback,
            by: None,
            proposal: None,
        };
        if files_changed {
            hold.hashes.extend(self.new_files_old_versions(&id, &restore).await?);
        }
        entry.put(&hold)?.event(Event::Held {
            service: id.service.clone(),
            environment: id.environment.clone(),
            reason: reason.clone(),
            by: None,
        });
        if !versions.is_empty() {
            entry.put(&restore)?;
        }
        if files_changed || versions.is_empty() {
            self.stall(
                &mut rollout,
                &format!("{reason}; the last healthy release runs; it waits for other files"),
                entry,
            )
            .await?;
        } else {
            self.step_to(&mut rollout, Transition::Restored, None, entry).await?;
        }
        self.restore_others(&id, &versions).await?;
        self.updates_ready.notify_one();
        Ok(())
    }

    async fn stall(&self, rollout: &mut Rollout, reason: &str, entry: Entry) -> Result<(), EngineError> {
        self.step_to(rollout, Transition::Stall, Some(reason.to_owned()), entry).await?;
        let mut row = self.row(&rollout.deployment).await?;
        if row.running.is_none() {
            row.health = Health::Missing;
        }
        row.waiting_for = Some("a commit that mends it, or another version".into());
        let mut entry = Entry::new();
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    /// The hold of a service in an environment, with this rollout's release in it.
    pub(crate) async fn hold(
        &self,
        rollout: &Rollout,
        reason: HoldReason,
        message: &str,
    ) -> Result<Hold, EngineError> {
        let id = &rollout.deployment;
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let mut hold = known.unwrap_or_else(|| Hold {
            service: id.service.clone(),
            environment: id.environment.clone(),
            hashes: BTreeSet::new(),
            up_to: BTreeMap::new(),
            instead: BTreeMap::new(),
            files: false,
            reason,
            message: String::new(),
            by: None,
            at_ms: self.now_ms(),
        });
        message.clone_into(&mut hold.message);
        hold.hashes.insert(rollout.hash);
        Ok(hold)
    }

    pub(crate) fn quarantine(
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
    async fn new_files_old_versions(
        self: &Arc<Self>,
        id: &DeploymentId,
        back: &UpdateRow,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let view = self.view()?;
        // Where the edit cannot be written, the fleet will not say it either.
        let Ok(changes) = Edits::of(&view, back).apply(view.tree.as_ref()) else { return Ok(None) };
        Ok(self.would_be(&view, &changes, &id.service, &id.environment).await?.remove(id))
    }

    /// Every deployment of the service that took a failed version goes back too. The caller holds the scope's lock.
    async fn restore_others(
        self: &Arc<Self>,
        id: &DeploymentId,
        failed: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        for other in view.deployments_of(&id.service, &id.environment) {
            if other == *id || failed.is_empty() {
                continue;
            }
            let row = self.row(&other).await?;
            let mut took = false;
            if let Some(running) = &row.running
                && let Some(release) = self.release(&other, running).await?
            {
                took = release.rendered.pins.values().any(|p| failed.values().any(|f| f.digest == p.digest));
            }
            for mut open in self.open_rollouts(&other).await? {
                let release = self.release(&other, &open.hash).await?;
                let takes = release.is_some_and(|r| {
                    r.rendered.pins.values().any(|p| failed.values().any(|f| f.digest == p.digest))
                });
                if takes && !open.is_rollback && open.state != State::RollingBack {
                    let reason = format!("its version failed in {id}");
                    if open.state.is_waiting() {
                        self.step_to(&mut open, Transition::Supersede, Some(reason), Entry::new()).await?;
                    } else if open.state != State::Finishing {
                        open.blame = false;
                        self.step_to(&mut open, Transition::Fail, Some(reason), Entry::new()).await?;
                        self.interrupt(&other);
                        self.kick(&other);
                    }
                }
            }
            if took {
                self.send_back(&other, failed).await?;
            }
        }
        Ok(())
    }

    /// Rolls a deployment back to its newest healthy release without these versions.
    async fn send_back(
        self: &Arc<Self>,
        id: &DeploymentId,
        failed: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<(), EngineError> {
        let mut releases = self.releases(id).await?;
        releases.retain(|r| {
            r.healthy_at_ms.is_some()
                && !r.rendered.pins.values().any(|p| failed.values().any(|f| f.digest == p.digest))
        });
        releases.sort_by_key(|r| r.healthy_at_ms);
        let Some(back) = releases.pop() else { return Ok(()) };
        let mut row = self.row(id).await?;
        let mut entry = Entry::new();
        if let Some(mut hold) =
            self.ports.store.load::<Hold>(&Hold::key_of(&id.service, &id.environment)).await?
        {
            hold.hashes.extend(row.running);
            hold.instead.insert(id.clone(), back.hash);
            entry.put(&hold)?;
        }
        let mut rollout = self.new_rollout(&mut row, &back.hash, &back.commit, true);
        rollout.reason = Some("a version that it took failed in another deployment of its service".into());
        self.enqueue(row, rollout, entry).await
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
pub(crate) fn restores(
    failed: &BTreeMap<ArtifactName, Pin>,
    back: &Release,
) -> BTreeMap<ArtifactName, Restore> {
    failed
        .iter()
        .filter_map(|(artifact, pin)| {
            let back = back.rendered.pins.get(artifact)?;
            Some((artifact.clone(), Restore { failed: pin.clone(), back: back.clone() }))
        })
        .collect()
}
