//! One deployment against the fleet's head.

use std::collections::BTreeSet;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::policy;
use dhow_core::port::{Scan, StoreExt as _};
use dhow_core::rollout::{
    Ask, DeploymentRow, Event, Health, Hold, HoldReason, ProposalStatus, Quarantined, Release, Rollout,
    State, Transition, next,
};

use super::desired::{Desired, Ready};
use super::gates::Touch;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::update::propose::closed;
use crate::view::View;

impl Inner {
    /// Compares a deployment with the fleet's head and makes the rollout that follows. Repeatable. True: it cannot be
    /// told yet, and is to be asked again.
    pub(crate) async fn sync_deployment(
        self: &Arc<Self>,
        view: &Arc<View>,
        id: &DeploymentId,
        touch: Touch,
    ) -> Result<bool, EngineError> {
        let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        let frozen = view.fleet.broken_root || view.fleet.broken_services.contains(&id.service);
        if frozen && row.desired.is_some() {
            return Ok(false);
        }
        if row.removing {
            row.removing = false;
            row.waiting_for = None;
            self.void_removal(id).await?;
        }
        let desired = self.desired(view, id).await?;
        if let Desired::Ready(ready) = desired {
            return self.sync_ready(view, row, *ready, touch).await;
        }
        let again = matches!(desired, Desired::Later(_));
        // What it should run is not known: whatever it turns out to be is compared anew.
        row.desired = None;
        self.tell_undesired(row, desired).await?;
        Ok(again)
    }

    /// Says why it is not known what a deployment should run.
    async fn tell_undesired(&self, mut row: DeploymentRow, why: Desired) -> Result<(), EngineError> {
        let id = row.id.clone();
        match why {
            Desired::Ready(_) => Ok(()),
            Desired::NoVersion(artifact) => {
                self.wait(row, Some(format!("a first version of {artifact}"))).await
            }
            Desired::NoTarget => {
                self.wait(
                    row,
                    Some(format!(
                        "a dhow that runs deployments of type {}; this one reads and validates them",
                        id.target
                    )),
                )
                .await
            }
            Desired::Broken(reason) => {
                let mut entry = Entry::new();
                entry.event(Event::Stalled { deployment: id, reason: reason.clone() });
                self.journal.write(entry).await?;
                row.reason = Some(reason);
                self.wait(row, Some("a commit that mends it; what runs stays".into())).await
            }
            Desired::Later(reason) => {
                tracing::warn!(deployment = %id, reason, "it cannot be told yet what should run");
                row.reason = Some(reason.clone());
                self.wait(row, Some(format!("its registry: {reason}"))).await
            }
        }
    }

    /// Its folder is there again: nobody is asked about its removal any more.
    async fn void_removal(&self, id: &DeploymentId) -> Result<(), EngineError> {
        let mut entry = Entry::new();
        for mut question in self.open_proposals(&id.service, &id.environment).await? {
            if question.ask == Ask::Removal && question.hashes.contains_key(id) {
                question.status = ProposalStatus::Void;
                entry.event(closed(&question, "its folder is there again")).put(&question)?;
            }
        }
        Ok(self.journal.write(entry).await?)
    }

    /// What people were asked about a release that the fleet does not say any more.
    async fn void_stale(
        &self,
        id: &DeploymentId,
        desired: &DesiredHash,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        for mut question in self.open_proposals(&id.service, &id.environment).await? {
            let stale = question.hashes.get(id).is_some_and(|hash| hash != desired);
            if stale && matches!(question.ask, Ask::Rollout { .. }) {
                question.status = ProposalStatus::Void;
                entry.event(closed(&question, "what it named has changed")).put(&question)?;
            }
        }
        Ok(())
    }

    async fn wait(&self, mut row: DeploymentRow, waiting_for: Option<String>) -> Result<(), EngineError> {
        if row.waiting_for != waiting_for {
            row.waiting_for = waiting_for;
            row.since_ms = self.now_ms();
        }
        let mut entry = Entry::new();
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    async fn sync_ready(
        self: &Arc<Self>,
        view: &Arc<View>,
        mut row: DeploymentRow,
        ready: Ready,
        touch: Touch,
    ) -> Result<bool, EngineError> {
        let id = row.id.clone();
        let mut entry = Entry::new();
        let first_sight = row.desired.is_none() && row.rollout.is_none() && row.running.is_none();
        if row.desired.as_ref() == Some(&ready.hash) {
            entry.put(&row)?;
            self.journal.write(entry).await?;
            return Ok(false);
        }
        if touch.by_person {
            self.notice_lowering(view, &row, &ready, &mut entry).await?;
        }
        self.void_stale(&id, &ready.hash, &mut entry).await?;
        row.desired = Some(ready.hash);
        row.desired_pins = ready.rendered.pins.clone();
        // Why the last rollout was taken back is told until the next one, also when the fleet says what runs again.
        if row.phase != Some(State::RolledBack) {
            row.reason = None;
        }
        row.waiting_for = None;
        let release = Release {
            deployment: id.clone(),
            hash: ready.hash,
            commit: view.commit.clone(),
            rendered: ready.rendered.clone(),
            files: ready.files,
            healthy_at_ms: None,
        };
        let known = self.release(&id, &ready.hash).await?;
        if known.is_none() {
            entry.put(&release)?;
        }
        if first_sight && self.first_sight(&mut row, &ready, &mut entry).await? {
            row.commit = Some(view.commit.clone());
            entry.put(&row)?;
            let again = row.desired.is_none();
            self.journal.write(entry).await?;
            return Ok(again);
        }
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        if let Some(hold) = hold.as_ref().filter(|h| h.hashes.contains(&ready.hash)) {
            row.waiting_for = Some(format!(
                "{}; `dhow resume {} {}` lets it go on",
                hold.message, id.service, id.environment
            ));
            self.supersede_waiting(&mut row, &mut entry).await?;
            entry.put(&row)?;
            self.journal.write(entry).await?;
            return Ok(false);
        }
        let hold = match hold {
            Some(hold) if hold.files => {
                let hold = Hold { files: false, ..hold };
                entry.put(&hold)?;
                Some(hold)
            }
            other => other,
        };
        if row.running.as_ref() == Some(&ready.hash) || self.underway(&row, &ready.hash).await? {
            if row.running.as_ref() == Some(&ready.hash) {
                self.supersede_waiting(&mut row, &mut entry).await?;
            }
            self.settle_hold(&row, hold, &mut entry)?;
            row.commit = Some(view.commit.clone());
            entry.put(&row)?;
            self.journal.write(entry).await?;
            return Ok(false);
        }
        let mut rollout = self.new_rollout(&mut row, &ready.hash, &view.commit, false);
        rollout.authors = touch.people;
        rollout.authors.extend(self.authors_of(&id).await?);
        self.enqueue(row, rollout, entry).await?;
        Ok(false)
    }

    /// A rollout of a deployment to a release, not yet stored.
    pub(crate) fn new_rollout(
        &self,
        row: &mut DeploymentRow,
        hash: &dhow_core::fleet::DesiredHash,
        commit: &dhow_core::port::CommitId,
        is_rollback: bool,
    ) -> Rollout {
        let number = self.rollout_numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let now = self.now_ms();
        row.rollout = Some(number);
        row.phase = Some(State::Queued);
        row.reason = None;
        row.since_ms = now;
        Rollout {
            number,
            deployment: row.id.clone(),
            hash: *hash,
            commit: commit.clone(),
            state: State::Queued,
            before: row.running,
            steps: Vec::new(),
            is_rollback,
            reason: None,
            failure: None,
            notes: Vec::new(),
            blame: false,
            cancelled_by: None,
            authors: BTreeSet::new(),
            times: [("queued".to_owned(), now)].into(),
        }
    }

    /// Stores a rollout in the place of those that wait, and drives it. The caller holds the scope's lock.
    pub(crate) async fn enqueue(
        self: &Arc<Self>,
        mut row: DeploymentRow,
        rollout: Rollout,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let id = row.id.clone();
        self.supersede_waiting(&mut row, &mut entry).await?;
        entry.event(Event::RolloutQueued {
            deployment: id.clone(),
            rollout: rollout.number,
            hash: rollout.hash,
            commit: rollout.commit.clone(),
        });
        entry.put(&rollout)?.put(&row)?;
        self.journal.write(entry).await?;
        self.interrupt(&id);
        self.kick(&id);
        Ok(())
    }

    /// Of rollouts that wait, only the newest is kept. The caller stores the row.
    pub(crate) async fn supersede_waiting(
        &self,
        row: &mut DeploymentRow,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let id = row.id.clone();
        for mut rollout in self.open_rollouts(&id).await? {
            if let (true, Ok(to)) = (rollout.state.is_waiting(), next(rollout.state, Transition::Supersede)) {
                let reason = Some("a newer commit took its place".to_owned());
                entry.event(Event::RolloutMoved {
                    deployment: id.clone(),
                    rollout: rollout.number,
                    from: rollout.state,
                    to,
                    reason: reason.clone(),
                });
                rollout.state = to;
                rollout.reason = reason;
                entry.put(&rollout)?;
                if row.rollout == Some(rollout.number) {
                    row.phase = Some(to);
                }
            }
        }
        Ok(())
    }

    /// The rollouts of a deployment that are not at their end, oldest first.
    pub(crate) async fn open_rollouts(&self, id: &DeploymentId) -> Result<Vec<Rollout>, EngineError> {
        let scan = Scan { prefix: format!("{id}/"), open_only: true, ..Scan::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    async fn underway(
        &self,
        row: &DeploymentRow,
        hash: &dhow_core::fleet::DesiredHash,
    ) -> Result<bool, EngineError> {
        let open = self.open_rollouts(&row.id).await?;
        Ok(open.last().is_some_and(|r| r.hash == *hash && r.state != State::RollingBack))
    }

    /// A stored release.
    pub(crate) async fn release(
        &self,
        id: &DeploymentId,
        hash: &dhow_core::fleet::DesiredHash,
    ) -> Result<Option<Release>, EngineError> {
        Ok(self.ports.store.load(&format!("{id}/{hash}")).await?)
    }

    /// First sight: nothing that runs is changed (design section 4). True: there is nothing to roll out now.
    async fn first_sight(
        self: &Arc<Self>,
        row: &mut DeploymentRow,
        ready: &Ready,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let mut present = false;
        let mut steps = 0;
        for place in &ready.rendered.places {
            let observed = match ready.target.observe(&ready.rendered, place).await {
                Ok(observed) => observed,
                Err(error) => {
                    row.waiting_for = Some(format!("what runs cannot be seen: {error}"));
                    row.desired = None;
                    return Ok(true);
                }
            };
            present |= observed.present;
            steps += ready.target.plan(&ready.rendered, &ready.hash, place, &observed).len();
        }
        let id = row.id.clone();
        if steps == 0 {
            row.adopted = true;
            row.running = Some(ready.hash);
            row.health = Health::Unknown;
            row.since_ms = self.now_ms();
            entry.event(Event::Adopted { deployment: id.clone(), hash: ready.hash });
            self.look_at_health(&id);
            return Ok(true);
        }
        if present {
            let reason = format!(
                "it runs and differs from the fleet; `dhow plan {0} {1}` shows how, `dhow sync {0} {1}` rolls it out",
                id.service, id.environment
            );
            row.phase = Some(State::Stalled);
            row.waiting_for = Some(reason.clone());
            row.since_ms = self.now_ms();
            entry.event(Event::Stalled { deployment: id, reason });
            return Ok(true);
        }
        row.health = Health::Missing;
        Ok(false)
    }

    /// A person's commit that lowers a version holds the service against everything up to the version left (design
    /// rule 5.7).
    async fn notice_lowering(
        &self,
        view: &View,
        row: &DeploymentRow,
        ready: &Ready,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let id = &row.id;
        let Some(service) = view.fleet.services.get(&id.service) else { return Ok(()) };
        let key = Hold::key_of(&id.service, &id.environment);
        for (artifact, new) in &ready.rendered.pins {
            let Some(old) = row.desired_pins.get(artifact).filter(|old| old.digest != new.digest) else {
                continue;
            };
            let (Some(rule), Some(old_tag), Some(new_tag)) =
                (service.rule(&id.environment, artifact), &old.tag, &new.tag)
            else {
                continue;
            };
            let tags = [old_tag.as_str(), new_tag.as_str()];
            // A policy that follows a tag has no higher and lower.
            let lowered = old_tag != new_tag
                && matches!(policy::select(rule, tags.into_iter()), Ok(Some(best)) if best == old_tag.as_str());
            let quarantine = Quarantined::key_of(&id.service, &id.environment, &old.repository, &old.digest);
            let ours = self.ports.store.load::<Quarantined>(&quarantine).await?.is_some();
            let hold: Option<Hold> = self.ports.store.load(&key).await?;
            if !lowered || ours || hold.as_ref().is_some_and(|h| h.up_to.contains_key(artifact)) {
                continue;
            }
            let message = format!(
                "a commit went back from {artifact} {old_tag} to {new_tag}: nothing up to {old_tag} is selected"
            );
            let mut hold = hold.unwrap_or_else(|| Hold {
                service: id.service.clone(),
                environment: id.environment.clone(),
                hashes: BTreeSet::new(),
                up_to: Default::default(),
                instead: Default::default(),
                files: false,
                reason: HoldReason::LoweredByCommit,
                message: message.clone(),
                by: None,
                at_ms: self.now_ms(),
            });
            hold.up_to.insert(artifact.clone(), old.clone());
            entry.put(&hold)?.event(Event::Held {
                service: id.service.clone(),
                environment: id.environment.clone(),
                reason: message,
                by: None,
            });
        }
        Ok(())
    }

    /// A hold of hashes ends when the fleet says what runs instead, and it runs; a hold of versions stays.
    pub(crate) fn settle_hold(
        &self,
        row: &DeploymentRow,
        hold: Option<Hold>,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let Some(mut hold) = hold else { return Ok(()) };
        let settled = hold.instead.get(&row.id).is_some_and(|h| Some(h) == row.running.as_ref());
        if !settled {
            return Ok(());
        }
        hold.instead.remove(&row.id);
        if hold.instead.is_empty() && !hold.hashes.is_empty() {
            hold.hashes.clear();
            entry.event(Event::HoldEnded {
                service: hold.service.clone(),
                environment: hold.environment.clone(),
                reason: "the fleet says what runs".into(),
                by: None,
            });
        }
        if hold.hashes.is_empty() && hold.up_to.is_empty() {
            entry.remove::<Hold>(Hold::key_of(&hold.service, &hold.environment));
        } else {
            entry.put(&hold)?;
        }
        Ok(())
    }
}
