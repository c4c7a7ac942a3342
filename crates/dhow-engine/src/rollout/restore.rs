//! Going back: what ran before runs again, place beside place. A place that does not go back owes it, and holds up
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::port::{Context, Place, Target};
use dhow_core::rollout::{
    Debt, End, Health, LeftBehind, Owed, Progress, Rollout, State, StepState, Transition,
};
use futures::future::join_all;
use tokio::sync::Mutex;

use super::Turn;
use super::steps::{done, failed, started};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// How often a place is asked to go back before it owes it.
const TRIES: u32 = 3;
/// How long a place may take to go back.
const LIMIT: Duration = Duration::from_secs(300);

/// Why a place did not go back.
struct Trouble {
    place: Place,
    reason: String,
    /// It did not answer at all.
    silent: bool,
}

impl Inner {
    /// Takes the steps back, and ends the rollout. What follows from it is stored already.
    pub(super) async fn roll_back(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        self.conclude_late(&mut rollout).await?;
        let (_, target, context) = self.context(&rollout).await?;
        let troubles = self.undo_all(&mut rollout, target.as_ref(), &context).await?;
        let told: Vec<String> = troubles.iter().map(|trouble| trouble.reason.clone()).collect();
        let (silent, others): (Vec<Trouble>, Vec<Trouble>) = troubles.into_iter().partition(|t| t.silent);
        let left = |trouble: Trouble| LeftBehind { place: trouble.place, reason: trouble.reason };
        rollout.behind.extend(silent.into_iter().map(left));
        if !others.is_empty() {
            rollout.undo_tries += 1;
            if rollout.undo_tries < TRIES {
                let mut entry = Entry::new();
                entry.put(&rollout)?;
                self.journal.write(entry).await?;
                self.tell(&mut rollout, &told.join("; ")).await?;
                return Ok(Turn::Retry);
            }
            rollout.behind.extend(others.into_iter().map(left));
        }
        self.end_way_back(rollout).await?;
        Ok(Turn::On)
    }

    /// Takes every step back that was begun: place beside place, each place's last step first. One that cannot go back
    /// holds up no other. The answer: what does not work.
    async fn undo_all(
        &self,
        rollout: &mut Rollout,
        target: &dyn Target,
        context: &Context,
    ) -> Result<Vec<Trouble>, EngineError> {
        let mut lanes: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (at, record) in rollout.steps.iter().enumerate().rev() {
            let begun = !matches!(record.state, StepState::Planned | StepState::Undone);
            if begun && !rollout.is_behind(&record.step.place) {
                lanes.entry(record.step.place.clone()).or_default().push(at);
            }
        }
        let shared = Mutex::new(rollout);
        let lanes = lanes.into_iter().map(|(place, lane)| {
            let shared = &shared;
            async move {
                let undone = async {
                    for at in lane {
                        if let Some(trouble) = self.undo_step(shared, at, target, context).await? {
                            return Ok(Some(trouble));
                        }
                    }
                    Ok(None)
                };
                tokio::time::timeout(LIMIT, undone).await.unwrap_or_else(|_| {
                    let on = context.rendered.on(&place);
                    let reason = format!("going back failed{on}: no answer within {} s", LIMIT.as_secs());
                    Ok(Some(Trouble { place, reason, silent: true }))
                })
            }
        });
        let ended: Vec<Result<Option<Trouble>, EngineError>> = join_all(lanes).await;
        let troubles: Result<Vec<Option<Trouble>>, EngineError> = ended.into_iter().collect();
        Ok(troubles?.into_iter().flatten().collect())
    }

    async fn undo_step(
        &self,
        rollout: &Mutex<&mut Rollout>,
        at: usize,
        target: &dyn Target,
        context: &Context,
    ) -> Result<Option<Trouble>, EngineError> {
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
                Some(Trouble { place: step.place.clone(), reason, silent: false })
            }
        };
        self.journal.write(entry).await?;
        Ok(trouble)
    }

    /// Ends a rollout that went back. The places that did not owe it from now on.
    async fn end_way_back(self: &Arc<Self>, mut rollout: Rollout) -> Result<(), EngineError> {
        let id = rollout.deployment.clone();
        let held = self.lock(&rollout).await;
        let mut row = self.row(&id).await?;
        let mut entry = Entry::new();
        let verdict = rollout.verdict.clone().unwrap_or_default();
        let shown = row.rollout == Some(rollout.number);
        // Where the fleet says by now what runs again, nobody has to act.
        let mended = !rollout.is_rollback && row.running.is_some() && row.desired == row.running;
        let (transition, reason) = match rollout.end.clone().unwrap_or(End::Failed) {
            End::Removed | End::Cancelled(_) => (Transition::RestoredAfterCancel, None),
            End::Failed if verdict.stalls && !mended => (Transition::Stall, verdict.reason),
            End::Failed | End::GaveWay | End::FailedElsewhere => (Transition::Restored, None),
        };
        let mut told = reason.clone().or_else(|| rollout.reason.clone()).unwrap_or_default();
        for debt in self.undo_debts(&rollout) {
            told.push_str(&self.stage_debt(&held, &mut row, debt, &mut entry).await?);
        }
        let reason = if rollout.behind.is_empty() { reason } else { Some(told) };
        self.stage_move(&held, &mut rollout, &mut row, transition, reason, &mut entry)?;
        if transition == Transition::Stall {
            if shown {
                row.waiting_for = verdict.waiting_for;
            }
            if row.running.is_none() {
                row.health = Health::Missing;
            }
        } else if shown && row.waiting_for.is_none() {
            row.waiting_for = self.held_until(&row).await?;
        }
        entry.put(&rollout)?;
        // The newer one that it gave way to may have gone meanwhile: then this one is wanted again.
        let again = rollout.end == Some(End::GaveWay)
            && row.desired == Some(rollout.hash)
            && !self.newer_waits(&rollout).await?;
        let debts = row.debts.clone();
        let goes_back = rollout.end == Some(End::Failed)
            && self.took_the_place_of_a_way_back(&rollout).await?
            && self.stage_send_back(&held, row.clone(), &mut entry).await?.is_some();
        let edit = rollout.end == Some(End::FailedElsewhere)
            && self.stage_left_out_of(&mut row, Some(&rollout), &mut entry).await?;
        if again {
            let next = self.new_rollout(&mut row, &rollout.hash, &rollout.commit, false);
            self.stage_rollout(&held, row, next, &mut entry).await?;
        } else if !goes_back {
            entry.put(&row)?;
        }
        self.journal.write(entry).await?;
        drop(held);
        if edit {
            self.hurry();
        }
        self.collect_all(&id, &debts);
        if !debts.is_empty() {
            self.look_at_health(&id);
        }
        Ok(())
    }

    /// A way back had waited where a rollout came in its place, and nothing newer waits: then it is wanted again.
    async fn took_the_place_of_a_way_back(&self, rollout: &Rollout) -> Result<bool, EngineError> {
        let last = self.last_rollouts(&rollout.deployment).await?;
        let before = last.iter().filter(|r| r.number < rollout.number);
        let mut waited = before.take_while(|r| r.state == State::Superseded);
        Ok(waited.any(|r| r.is_rollback) && !rollout.is_rollback && !self.newer_waits(rollout).await?)
    }

    /// What the places owe that did not go back.
    fn undo_debts(&self, rollout: &Rollout) -> Vec<Debt> {
        let debt = |left: &LeftBehind| Debt {
            place: left.place.clone(),
            owes: Owed::Undo { rollout: rollout.number },
            runs: match rollout.at(&left.place) {
                Progress::Old => rollout.before,
                Progress::New => Some(rollout.hash),
                Progress::Between => None,
            },
            since_ms: self.now_ms(),
            error: left.reason.clone(),
        };
        rollout.behind.iter().map(debt).collect()
    }
}
