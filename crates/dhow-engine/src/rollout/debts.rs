//! Debts: what places owe that did not answer when it was their turn. Each is tried by a task of its own, until the place
//! answers or a person writes it off.
//!
//! *Races.* Whoever does something to a deployment at a place that owes holds that place's lock (`effects`): the task
//! here, a rollout while it makes the place ready to be planned for, and whoever clears it. What is to be done is decided
//! under the lock of service and environment after that, and so is what came of it: a debt that somebody wrote off, or
//! that is another one by then, is left alone. While a rollout runs that
//! names the place, or leaves it, it is the rollout's.
//!
//! *Crash.* The debt stands in the deployment's row, which is open; all of it may be done again.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, StoreExt as _, TargetError};
use dhow_core::rollout::{Debt, DeploymentRow, Event, Owed, Removal, Rollout, StepState};
use futures::FutureExt as _;

use super::backoff;
use super::mend::bring_back_at;
use super::phases::{Stop, stop_at};
use crate::engine::{EngineError, Inner, Worker};
use crate::journal::Entry;
use crate::locks::Held;

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(600);

/// How a try ended.
enum Tried {
    /// Nothing is owed any more.
    Settled,
    /// It is tried again.
    NotYet,
}

/// What one place owes one deployment: a task has one of these.
type Key = (DeploymentId, Place);

impl Inner {
    /// Has these debts tried now; each by its own task.
    pub(crate) fn collect_all(self: &Arc<Self>, id: &DeploymentId, debts: &[Debt]) {
        debts.iter().for_each(|debt| self.collect((id.clone(), debt.place.clone()), true));
    }

    /// Has a debt tried by its task, which is made where there is none. `now`: one that waits before its next try does not
    /// wait any more.
    pub(crate) fn collect(self: &Arc<Self>, key: Key, now: bool) {
        let mut collectors = self.collectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(collector) = collectors.get_mut(&key) {
            collector.again = true;
            if now {
                collector.wake.notify_one();
            }
            return;
        }
        let collector = Worker::default();
        let wake = Arc::clone(&collector.wake);
        collectors.insert(key.clone(), collector);
        drop(collectors);
        let inner = Arc::clone(self);
        self.tracker.spawn(async move {
            let mut tries = 0u32;
            while !inner.stop.is_cancelled() {
                let (id, place) = &key;
                let tried = AssertUnwindSafe(inner.try_debt(id, place)).catch_unwind().await;
                match tried {
                    Ok(Ok(Tried::Settled)) if inner.collector_ends(&key) => return,
                    Ok(Ok(Tried::Settled)) => {
                        tries = 0;
                        continue;
                    }
                    Ok(Ok(Tried::NotYet)) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(deployment = %id, %place, %error, "what it owes could not be tried");
                    }
                    Err(_) => tracing::error!(deployment = %id, %place, "a defect of dhow ended a try"),
                }
                tries += 1;
                tokio::select! {
                    () = inner.stop.cancelled() => {}
                    () = wake.notified() => {}
                    () = inner.ports.clock.sleep(backoff(tries - 1)) => {}
                }
            }
        });
    }

    /// True: the task may end.
    fn collector_ends(&self, key: &Key) -> bool {
        let mut collectors = self.collectors.lock().unwrap_or_else(PoisonError::into_inner);
        match collectors.get_mut(key) {
            Some(collector) if collector.again => {
                collector.again = false;
                false
            }
            _ => {
                collectors.remove(key);
                true
            }
        }
    }

    async fn try_debt(self: &Arc<Self>, id: &DeploymentId, place: &Place) -> Result<Tried, EngineError> {
        let _permit = self.debtors.wait(place).await;
        let _effects = self.effects.lock(&(id.clone(), place.clone())).await;
        let debt = {
            let _held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
            let row = self.row(id).await?;
            let Some(debt) = row.debt(place).cloned() else { return Ok(Tried::Settled) };
            if !self.is_collectable(&row, &debt).await? {
                return Ok(Tried::NotYet);
            }
            debt
        };
        let ended = self.pay(id, &debt).await?;
        self.note_payment(id, &debt, ended).await
    }

    /// Nobody else is to do something to the deployment at this place.
    async fn is_collectable(&self, row: &DeploymentRow, debt: &Debt) -> Result<bool, EngineError> {
        if row.removal == Some(Removal::Going) {
            return Ok(false);
        }
        let open = self.open_rollouts(&row.id).await?;
        let running = open.iter().filter(|r| !r.state.is_waiting());
        // Also where it ran before: the rollout clears what it leaves.
        let mut named_by: Vec<_> = running.flat_map(|r| r.before.into_iter().chain([r.hash])).collect();
        // What left a place and is wanted there again is not removed.
        if debt.owes == Owed::Removal && row.removal != Some(Removal::Owed) {
            named_by.extend(row.running.into_iter().chain(row.desired));
        }
        for hash in named_by {
            if self.release(&row.id, &hash).await?.is_some_and(|r| r.rendered.places.contains(&debt.place)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does what is owed, within a time. The caller holds the lock of the place's effects.
    async fn pay(
        self: &Arc<Self>,
        id: &DeploymentId,
        debt: &Debt,
    ) -> Result<Result<(), TargetError>, EngineError> {
        let Some(target) = self.target(id.target) else {
            return Ok(Err(TargetError::Blocked(format!(
                "this dhow does not run deployments of type {}",
                id.target
            ))));
        };
        let paid = async {
            match debt.owes {
                Owed::Removal => return Ok(target.remove(id, &debt.place, self.lease.epoch).await),
                Owed::Undo { rollout } => {
                    if let Err(error) = self.undo_at(id, rollout, &debt.place).await? {
                        return Ok(Err(error));
                    }
                }
                Owed::Release => {}
            }
            self.bring_to_release(id, &debt.place).await
        };
        tokio::time::timeout(LIMIT, paid).await.unwrap_or_else(|_| {
            Ok(Err(TargetError::Passing(format!("no answer within {} s", LIMIT.as_secs()))))
        })
    }

    /// Takes back at one place what a rollout did there. Repeatable.
    async fn undo_at(
        self: &Arc<Self>,
        id: &DeploymentId,
        rollout: u64,
        place: &Place,
    ) -> Result<Result<(), TargetError>, EngineError> {
        let rollout: Option<Rollout> = self.ports.store.load(&Rollout::key_of(id, rollout)).await?;
        let Some(rollout) = rollout else { return Ok(Ok(())) };
        let (_, target, context) = match self.context(&rollout).await {
            Err(EngineError::NotFound(_)) => return Ok(Ok(())),
            context => context?,
        };
        let begun = |state: StepState| !matches!(state, StepState::Planned | StepState::Undone);
        for record in rollout.steps.iter().rev().filter(|r| r.step.place == *place && begun(r.state)) {
            if let Err(error) = target.undo(&record.step, &context).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Brings one place to what its deployment runs, where that names it.
    async fn bring_to_release(
        self: &Arc<Self>,
        id: &DeploymentId,
        place: &Place,
    ) -> Result<Result<(), TargetError>, EngineError> {
        let row = self.row(id).await?;
        let Some(running) = &row.running else { return Ok(Ok(())) };
        let Some(release) = self.release(id, running).await? else { return Ok(Ok(())) };
        if !release.rendered.places.contains(place) {
            return Ok(Ok(()));
        }
        let (target, context) = self.context_of(&release, row.rollout.unwrap_or_default()).await?;
        Ok(bring_back_at(target.as_ref(), &release, &context, place).await)
    }

    /// Stores what came of a try.
    async fn note_payment(
        self: &Arc<Self>,
        id: &DeploymentId,
        debt: &Debt,
        ended: Result<(), TargetError>,
    ) -> Result<Tried, EngineError> {
        if let Err(fenced @ TargetError::Fenced { .. }) = &ended {
            tracing::error!(deployment = %id, reason = %fenced, "this dhow stops");
            self.step_down();
            return Ok(Tried::NotYet);
        }
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        if row.debt(&debt.place).map(|known| known.owes) != Some(debt.owes) {
            return Ok(Tried::Settled);
        }
        let mut entry = Entry::new();
        if let Err(error) = ended {
            let error = error.to_string();
            let known = row.debts.iter_mut().find(|known| known.place == debt.place);
            if let Some(known) = known.filter(|known| known.error != error) {
                known.error = error;
                entry.put(&row)?;
                self.journal.write(entry).await?;
            }
            return Ok(Tried::NotYet);
        }
        self.stage_settled(&held, &mut row, &debt.place, &mut entry);
        self.stage_undone(id, debt, &mut entry).await?;
        let gone = row.removal == Some(Removal::Owed) && row.debts.is_empty();
        match gone {
            true => self.stage_gone(&held, &mut row, &mut entry).await?,
            false => drop(entry.put(&row)?),
        }
        self.journal.write(entry).await?;
        drop(held);
        if gone {
            self.forget(id);
        } else {
            self.kick(id);
            self.look_at_health(id);
        }
        Ok(Tried::Settled)
    }

    /// Adds to an entry that a rollout's steps at a place are taken back.
    async fn stage_undone(
        &self,
        id: &DeploymentId,
        debt: &Debt,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let Owed::Undo { rollout } = debt.owes else { return Ok(()) };
        let Some(mut rollout) = self.ports.store.load::<Rollout>(&Rollout::key_of(id, rollout)).await? else {
            return Ok(());
        };
        for record in rollout.steps.iter_mut().filter(|record| record.step.place == debt.place) {
            if record.state != StepState::Planned {
                record.state = StepState::Undone;
            }
        }
        entry.put(&rollout)?;
        Ok(())
    }

    /// Adds to an entry that a place owes nothing any more, where it did.
    pub(crate) fn stage_settled(
        &self,
        _held: &Held,
        row: &mut DeploymentRow,
        place: &Place,
        entry: &mut Entry,
    ) {
        if row.settle(place) {
            entry.event(Event::DebtSettled { deployment: row.id.clone(), place: place.clone() });
        }
    }

    /// Adds a debt to a row and to an entry. The answer: what is told of it, to be appended to a reason.
    pub(crate) async fn stage_debt(
        &self,
        _held: &Held,
        row: &mut DeploymentRow,
        debt: Debt,
        entry: &mut Entry,
    ) -> Result<String, EngineError> {
        let told = self.told_of(&row.id, &debt).await?;
        tracing::warn!(deployment = %row.id, reason = told, "a place owes it; it is tried until it answers");
        let known = row.debt(&debt.place).is_some_and(|known| known.owes == debt.owes);
        if !known {
            entry.event(Event::DebtIncurred {
                deployment: row.id.clone(),
                place: debt.place.clone(),
                owes: debt.owes,
                reason: told.clone(),
            });
        }
        row.owe(debt);
        Ok(format!("; {told}"))
    }

    /// A debt for people: which place, what it still runs, what is to be done, and why it was not.
    pub(crate) async fn told_of(&self, id: &DeploymentId, debt: &Debt) -> Result<String, EngineError> {
        let release = match &debt.runs {
            Some(hash) => self.release(id, hash).await?,
            None => None,
        };
        let runs = match (&debt.runs, release) {
            (None, _) => "what runs there is not known".to_owned(),
            (Some(hash), None) => format!("it still runs release {}", hash.short()),
            (Some(_), Some(release)) => format!("it still runs {}", crate::command::describe(&release)),
        };
        Ok(format!("{}, {}: {runs} ({})", debt.place, debt.owes, debt.error))
    }

    /// Before a rollout is planned for a place: what another one left to be taken back there comes first. Where that
    /// cannot be done at all, the rollout begins from what is there.
    pub(super) async fn make_ready(self: &Arc<Self>, rollout: &Rollout, place: &Place) -> Result<(), Stop> {
        let id = &rollout.deployment;
        // Also where nothing is owed any more: what was begun there comes to its end first.
        let _effects = self.effects.lock(&(id.clone(), place.clone())).await;
        let row = self.row(id).await?;
        let Some(debt) = row.debt(place).filter(|debt| matches!(debt.owes, Owed::Undo { .. })).cloned()
        else {
            return Ok(());
        };
        let undo = async {
            match debt.owes {
                Owed::Undo { rollout } => self.undo_at(id, rollout, place).await,
                _ => Ok(Ok(())),
            }
        };
        let ended = tokio::time::timeout(LIMIT, undo).await.unwrap_or_else(|_| {
            Ok(Err(TargetError::Passing(format!("no answer within {} s", LIMIT.as_secs()))))
        })?;
        match ended {
            Ok(()) => {}
            Err(TargetError::Failed(reason) | TargetError::Blocked(reason)) => {
                tracing::warn!(deployment = %id, %place, reason, "it cannot be taken back; the rollout goes on from there");
            }
            Err(error) => {
                let release = self.release(id, &rollout.hash).await?;
                return Err(match release {
                    Some(release) => stop_at(&release.rendered, place, error),
                    None => Stop::Later(error.to_string()),
                });
            }
        }
        let _held = self.lock(rollout).await;
        let mut row = self.row(id).await?;
        if row.debt(place).map(|known| known.owes) != Some(debt.owes) {
            return Ok(());
        }
        let mut entry = Entry::new();
        self.stage_undone(id, &debt, &mut entry).await?;
        // Should this rollout fail as well, the place is still to be brought to what runs elsewhere.
        row.owe(Debt { owes: Owed::Release, ..debt });
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }
}
