//! The steps of a rollout: planned once, each stored before and after its effect.

use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Context, Record, Scan, Settled, Step, StoreExt as _, Target};
use dhow_core::rollout::{Event, Release, Rollout, StepRecord, StepState};

use super::phases::{Stop, stop_of};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

impl Inner {
    /// What a rollout's steps run under.
    pub(super) async fn context(
        self: &Arc<Self>,
        rollout: &Rollout,
    ) -> Result<(Release, Arc<dyn Target>, Context), EngineError> {
        let id = &rollout.deployment;
        let release = self.release(id, &rollout.hash).await?.ok_or_else(|| {
            EngineError::NotFound(format!("release {} of {id} is not stored", rollout.hash.short()))
        })?;
        let (target, context) = self.context_of(&release, rollout.number).await?;
        Ok((release, target, context))
    }

    /// What the steps of a rollout to this release run under.
    pub(crate) async fn context_of(
        self: &Arc<Self>,
        release: &Release,
        rollout: u64,
    ) -> Result<(Arc<dyn Target>, Context), EngineError> {
        let id = &release.deployment;
        let target = self.target(id.target).ok_or_else(|| {
            EngineError::Refused(format!("this dhow does not run deployments of type {}", id.target))
        })?;
        let tree = self.ports.fleet.tree(&release.commit).await.ok();
        let context = Context {
            rendered: Arc::new(release.rendered.clone()),
            hash: release.hash,
            tree,
            rollout,
            epoch: self.lease.epoch,
            bundles: Arc::clone(&self.ports.source),
            keep: self.keep(id, &self.releases(id).await?).await?,
            log: Arc::new(()),
        };
        Ok((target, context))
    }

    /// The releases that are kept: the newest healthy ones, what runs, what should, and what rollouts go to.
    async fn keep(&self, id: &DeploymentId, releases: &[Release]) -> Result<Vec<DesiredHash>, EngineError> {
        let mut healthy: Vec<&Release> = releases.iter().filter(|r| r.healthy_at_ms.is_some()).collect();
        healthy.sort_by_key(|r| std::cmp::Reverse(r.healthy_at_ms));
        let row = self.row(id).await?;
        let mut keep: Vec<DesiredHash> =
            healthy.into_iter().take(self.settings.keep_releases).map(|r| r.hash).collect();
        keep.extend(row.running.into_iter().chain(row.desired).chain(row.healthy_release));
        keep.extend(self.open_rollouts(id).await?.iter().flat_map(|r| r.before.into_iter().chain([r.hash])));
        Ok(keep)
    }

    /// Forgets the releases that are not kept, and that none of the last rollouts brought.
    pub(super) async fn stage_prune(
        &self,
        id: &DeploymentId,
        also: Option<DesiredHash>,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let releases = self.releases(id).await?;
        let mut keep = self.keep(id, &releases).await?;
        keep.extend(also);
        let last = self.last_rollouts(id).await?;
        keep.extend(last.iter().map(|r| r.hash));
        for release in releases.iter().filter(|r| !keep.contains(&r.hash)) {
            entry.remove::<Release>(Record::key(release));
        }
        Ok(())
    }

    /// Every stored release of a deployment.
    pub(crate) async fn releases(&self, id: &DeploymentId) -> Result<Vec<Release>, EngineError> {
        let scan = Scan { prefix: format!("{id}/"), ..Default::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    pub(super) async fn plan_rollout(
        &self,
        rollout: &mut Rollout,
        release: &Release,
        target: &dyn Target,
    ) -> Result<(), Stop> {
        let mut steps = Vec::new();
        for place in &release.rendered.places {
            let observed = target.observe(&release.rendered, place).await.map_err(stop_of)?;
            steps.extend(target.plan(&release.rendered, &release.hash, place, &observed));
        }
        steps.sort_by_key(|s| s.phase);
        rollout.steps =
            steps.into_iter().map(|step| StepRecord { step, state: StepState::Planned }).collect();
        rollout.notes.clone_from(&release.rendered.notes);
        let mut entry = Entry::new();
        entry.put(rollout)?;
        self.journal.write(entry).await?;
        Ok(())
    }

    pub(super) async fn do_step(
        &self,
        rollout: &mut Rollout,
        at: usize,
        target: &dyn Target,
        context: &Context,
    ) -> Result<(), Stop> {
        let step: Step = rollout.steps[at].step.clone();
        let again = rollout.steps[at].state == StepState::Started;
        if again {
            let settled = target.settle(&step, context).await.map_err(stop_of)?;
            if settled == Settled::Done {
                return Ok(self.step_done(rollout, at).await?);
            }
        }
        let (deployment, key) = (rollout.deployment.clone(), step.key.clone());
        let number = rollout.number;
        rollout.steps[at].state = StepState::Started;
        let mut entry = Entry::new();
        if !again {
            entry.event(Event::StepStarted {
                deployment: deployment.clone(),
                rollout: number,
                key: key.clone(),
                undo: false,
            });
            entry.put(rollout)?;
        }
        self.journal.write(entry).await?;
        match target.execute(&step, context).await {
            Ok(()) => Ok(self.step_done(rollout, at).await?),
            Err(error) => {
                // What fails in the same way again is no news.
                if !again || rollout.reason.as_deref() != Some(error.to_string().as_str()) {
                    let reason = format!("{}: {error}", step.summary);
                    let mut entry = Entry::new();
                    entry.event(Event::StepFailed { deployment, rollout: number, key, undo: false, reason });
                    self.journal.write(entry).await?;
                }
                Err(stop_of(error))
            }
        }
    }

    async fn step_done(&self, rollout: &mut Rollout, at: usize) -> Result<(), EngineError> {
        rollout.steps[at].state = StepState::Done;
        let mut entry = Entry::new();
        entry.event(Event::StepDone {
            deployment: rollout.deployment.clone(),
            rollout: rollout.number,
            key: rollout.steps[at].step.key.clone(),
            undo: false,
        });
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }
}
