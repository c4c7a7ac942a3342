//! rollout: the state machine of one deployment, driven by one task.

mod begin;
mod debts;
pub(crate) mod leave;
mod left_out;
mod mend;
mod phases;
mod restore;
mod said;
mod siblings;
mod steps;
mod succeed;
mod turn_back;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::Place;
use dhow_core::rollout::{DeploymentRow, Event, Removal, Rollout, State, Transition, next};
use futures::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::{EngineError, Inner, Worker};
use crate::journal::Entry;
use crate::locks::Held;

pub(crate) use phases::error_at;
pub(crate) use said::Heard;

/// Whether the driver goes on with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// At once.
    On,
    /// It may succeed by itself: after a time that grows with every try.
    Retry,
    /// After this time.
    After(Duration),
    /// When something wakes it.
    Rest,
}

/// The time before the next try: half a second, doubled with each, at most a minute.
fn backoff(tries: u32) -> Duration {
    Duration::from_millis(500 * (1 << tries.min(7))).min(Duration::from_secs(60))
}

/// A server may be silent for long.
fn asks_servers(places: &[Place]) -> bool {
    places.iter().any(|place| *place != Place::Local)
}

impl Inner {
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

    /// Ends the waiting of a running check: something newer is there, or a person said stop. It counts also for a
    /// check that begins after this.
    pub(crate) fn interrupt(&self, id: &DeploymentId) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(id) {
            worker.interrupt.notify_one();
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
        let mut tries = 0u32;
        let mut creating = Vec::new();
        while !self.stop.is_cancelled() {
            let turn = match AssertUnwindSafe(self.turn(id, &mut creating)).catch_unwind().await {
                Ok(Ok(turn)) => turn,
                Ok(Err(error)) => {
                    tracing::warn!(deployment = %id, %error, "the rollout cannot go on now; it is tried again");
                    Turn::Retry
                }
                Err(_) => {
                    tracing::error!(deployment = %id, "a defect of dhow ended a step; it is tried again");
                    Turn::Retry
                }
            };
            if turn != Turn::On {
                // Others are created while it waits.
                creating.clear();
            }
            let wait = match turn {
                Turn::On => {
                    tries = 0;
                    continue;
                }
                Turn::Rest if self.ends(id) => return,
                Turn::Rest => continue,
                Turn::After(wait) => wait,
                Turn::Retry => {
                    tries += 1;
                    self.jitter(backoff(tries - 1))
                }
            };
            let wake = self.worker(id).wake;
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = wake.notified() => {}
                () = self.ports.clock.sleep(wait) => {}
            }
        }
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// One step of the oldest open rollout: those that run come before those that wait, and a removal before these.
    ///
    /// Thousands may wait here to be created: what they will need then is made only then (the boxes).
    async fn turn(
        self: &Arc<Self>,
        id: &DeploymentId,
        creating: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<Turn, EngineError> {
        let mut open = self.open_rollouts(id).await?;
        if let Some(at) = open.iter().position(|r| !r.state.is_waiting()) {
            let running = open.swap_remove(at);
            drop(open);
            if running.state == State::RollingBack {
                creating.clear();
                return Box::pin(self.roll_back(running)).await;
            }
            if running.before.is_none() && creating.is_empty() && !self.is_asked_to_stop(&running).await? {
                *creating = tokio::select! {
                    () = self.stop.cancelled() => return Ok(Turn::Rest),
                    turn = self.turn_to_create(&running) => turn?,
                };
                if !creating.is_empty() {
                    return Ok(Turn::On);
                }
            }
            return Box::pin(self.do_phase(running)).await;
        }
        creating.clear();
        Box::pin(self.next_turn(id, open)).await
    }

    async fn is_asked_to_stop(&self, rollout: &Rollout) -> Result<bool, EngineError> {
        let stop = self.row(&rollout.deployment).await?.stop;
        Ok(stop.is_some_and(|stop| stop.rollout == rollout.number))
    }

    /// Waits until a first release may be brought to its places. Whoever was let in is through before others are. Nothing
    /// where servers are still to be asked: one that does not answer keeps nobody waiting for the others.
    async fn turn_to_create(&self, rollout: &Rollout) -> Result<Vec<OwnedSemaphorePermit>, EngineError> {
        let id = &rollout.deployment;
        let release = self.release(id, &rollout.hash).await?;
        let (Some(places), Some(target)) = (release.map(|r| r.rendered.places), self.target(id.target))
        else {
            return Ok(Vec::new());
        };
        if rollout.steps.is_empty() && asks_servers(&places) {
            return Ok(Vec::new());
        }
        Ok(self.creations.begin(target.as_ref(), &places).await)
    }

    /// Where nothing runs: a removal, a mending, or the rollout that waits.
    async fn next_turn(self: &Arc<Self>, id: &DeploymentId, open: Vec<Rollout>) -> Result<Turn, EngineError> {
        let row = self.row(id).await?;
        if row.removal == Some(Removal::Going) {
            self.remove_now(id).await?;
            return Ok(Turn::On);
        }
        let Some(waiting) = open.last() else {
            return if row.mend.is_some() { self.mend_now(id).await } else { Ok(Turn::Rest) };
        };
        // A mending that does not come to its end holds up nothing that may begin.
        if row.mend.as_ref().is_some_and(|mend| mend.tries == 0) {
            return self.mend_now(id).await;
        }
        let turn = self.try_begin(waiting.number, id).await?;
        if turn != Turn::On && row.mend.is_some() {
            return self.mend_now(id).await;
        }
        Ok(turn)
    }

    /// Moves a rollout and its deployment's row, in one batch with whatever else belongs to it.
    pub(crate) async fn step_to(
        &self,
        held: &Held,
        rollout: &mut Rollout,
        transition: Transition,
        reason: Option<String>,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let mut row = self.row(&rollout.deployment).await?;
        self.stage_move(held, rollout, &mut row, transition, reason, &mut entry)?;
        entry.put(rollout)?.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Moves a rollout and its deployment's row, and adds the fact to an entry. The caller puts both rows into it.
    pub(crate) fn stage_move(
        &self,
        _held: &Held,
        rollout: &mut Rollout,
        row: &mut DeploymentRow,
        transition: Transition,
        reason: Option<String>,
        entry: &mut Entry,
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
        if row.rollout == Some(rollout.number) {
            row.phase = Some(to);
            row.since_ms = now;
            row.reason.clone_from(&rollout.reason);
            // What its removal waits for is not over because a rollout is.
            if to != State::AwaitingApproval && to != State::Stalled && row.removal.is_none() {
                row.waiting_for = None;
            }
        }
        Ok(())
    }
}
