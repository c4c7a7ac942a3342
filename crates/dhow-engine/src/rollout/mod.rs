//! rollout: the state machine of one deployment, driven by one task.

mod begin;
mod phases;
pub(crate) mod restore;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::{DeploymentId, PersonName};
use dhow_core::port::{Scan, StoreExt as _};
use dhow_core::rollout::{Event, Rollout, State, Transition, next};

use crate::engine::{EngineError, Inner, Worker};
use crate::journal::Entry;

/// Whether the driver goes on with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// At once.
    On,
    /// After this time.
    After(Duration),
    /// When something wakes it.
    Rest,
}

/// Rollouts that are looked at for authors, at most. Each one's authors include those before it that never ran.
const REMEMBERED: usize = 20;

impl Inner {
    /// Drives again what a crash left open.
    pub(crate) async fn resume_rollouts(self: &Arc<Self>) -> Result<(), EngineError> {
        let newest = self
            .ports
            .store
            .list::<Rollout>(Scan { open_only: true, ..Scan::default() })
            .await?
            .iter()
            .map(|r| r.number)
            .max()
            .unwrap_or_default();
        self.rollout_numbers.fetch_max(newest + 1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }

    /// Wakes the task that drives a deployment, or starts one. One at a time: a second call makes it look again.
    pub(crate) fn kick(self: &Arc<Self>, id: &DeploymentId) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get_mut(id) {
            worker.again = true;
            worker.wake.notify_one();
            return;
        }
        workers.insert(id.clone(), Worker::default());
        drop(workers);
        let (inner, id) = (Arc::clone(self), id.clone());
        self.tracker.spawn(async move { inner.work(&id).await });
    }

    /// Ends the waiting of a running check: something newer is there, or a person said stop.
    pub(crate) fn interrupt(&self, id: &DeploymentId) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(id) {
            worker.interrupt.notify_waiters();
        }
    }

    fn worker(&self, id: &DeploymentId) -> Worker {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    /// True: the task may end.
    fn ends(&self, id: &DeploymentId) -> bool {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        match workers.get_mut(id) {
            Some(worker) if worker.again => {
                worker.again = false;
                false
            }
            _ => {
                workers.remove(id);
                true
            }
        }
    }

    async fn work(self: Arc<Self>, id: &DeploymentId) {
        let mut failures = 0u32;
        while !self.stop.is_cancelled() {
            let turn = match self.turn(id).await {
                Ok(turn) => {
                    failures = 0;
                    turn
                }
                Err(error) => {
                    tracing::warn!(deployment = %id, %error, "the rollout cannot go on now; it is tried again");
                    failures += 1;
                    Turn::After(Self::jitter(Duration::from_millis(500 * (1 << failures.min(7)))))
                }
            };
            match turn {
                Turn::On => {}
                Turn::After(wait) => {
                    let wake = self.worker(id).wake;
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = wake.notified() => {}
                        () = self.ports.clock.sleep(wait) => {}
                    }
                }
                Turn::Rest if self.ends(id) => return,
                Turn::Rest => {}
            }
        }
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// One step of the oldest open rollout: those that run come before those that wait.
    async fn turn(self: &Arc<Self>, id: &DeploymentId) -> Result<Turn, EngineError> {
        let open = self.open_rollouts(id).await?;
        let running = open.iter().find(|r| !r.state.is_waiting());
        let Some(rollout) = running.or(open.last()).cloned() else { return Ok(Turn::Rest) };
        match rollout.state {
            State::Queued | State::AwaitingApproval => self.try_begin(rollout).await,
            State::RollingBack => self.roll_back(rollout).await,
            _ => self.do_phase(rollout).await,
        }
    }

    /// Moves a rollout and its deployment's row, with whatever else belongs to it, in one batch.
    pub(crate) async fn step_to(
        &self,
        rollout: &mut Rollout,
        transition: Transition,
        reason: Option<String>,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let to = next(rollout.state, transition)
            .map_err(|e| EngineError::Refused(format!("rollout {}: {e}", rollout.number)))?;
        let now = self.now_ms();
        entry.event(Event::RolloutMoved {
            deployment: rollout.deployment.clone(),
            rollout: rollout.number,
            from: rollout.state,
            to,
            reason: reason.clone(),
        });
        rollout.state = to;
        rollout.times.insert(to.as_str().to_owned(), now);
        if reason.is_some() {
            rollout.reason = reason;
        }
        let mut row = self.row(&rollout.deployment).await?;
        if row.rollout == Some(rollout.number) {
            row.phase = Some(to);
            row.since_ms = now;
            row.reason.clone_from(&rollout.reason);
            if to != State::AwaitingApproval && to != State::Stalled {
                row.waiting_for = None;
            }
            entry.put(&row)?;
        }
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Who wrote what stands in the fleet for a deployment and never ran there: the authors of every rollout since the
    /// last one that succeeded.
    pub(crate) async fn authors_of(&self, id: &DeploymentId) -> Result<BTreeSet<PersonName>, EngineError> {
        let scan =
            Scan { prefix: format!("{id}/"), descending: true, limit: Some(REMEMBERED), ..Scan::default() };
        let newest: Vec<Rollout> = self.ports.store.list(scan).await?;
        let unseen = newest.into_iter().take_while(|r| r.state != State::Succeeded);
        Ok(unseen.flat_map(|r| r.authors).collect())
    }
}
