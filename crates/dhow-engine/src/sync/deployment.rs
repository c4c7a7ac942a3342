//! One deployment against the fleet's head.

use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{DeploymentRow, Event, Hold, HoldReason, Removal, Rollout, State, Unclear};

use super::authors::{Authors, Wrote};
use super::desired::{Ready, Unready};
use super::{hold, unclear_of_people};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::view::View;

impl Inner {
    /// Compares a deployment with the fleet's head and makes the rollout that follows. Repeatable. False: somebody went
    /// back, it changed again meanwhile, and is to be compared with a newer view; nothing was concluded from this one.
    pub(super) async fn sync_deployment(
        self: &Arc<Self>,
        view: &Arc<View>,
        id: &DeploymentId,
        authors: &Authors,
    ) -> Result<bool, EngineError> {
        let Some(deployment) = view.fleet.deployments.get(id) else { return Ok(true) };
        // A broken root or service file may have lost gates, checks or versions: nothing is concluded from it.
        if view.fleet.broken_root || view.fleet.broken_services.contains(&id.service) {
            return Ok(true);
        }
        let wrote = authors.of(deployment);
        let desired = self.desired(view, id).await?;
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        if self.may_have_gone_back(id).await? && !self.view()?.unchanged(view, id) {
            return Ok(false);
        }
        let stored = self.row(id).await?;
        if stored.removal == Some(Removal::Owed) {
            // Most of it is removed: it begins anew.
            let (mut entry, mut row) = (Entry::new(), stored);
            row.authors.extend(wrote.people);
            self.stage_gone(&held, &mut row, &mut entry).await?;
            self.journal.write(entry).await?;
            return Ok(true);
        }
        let mut row = stored.clone();
        row.folder.clone_from(&deployment.folder);
        if row.removal.take().is_some() {
            row.waiting_for = None;
        }
        let mut entry = Entry::new();
        let unready = match desired {
            Ok(ready) => {
                self.sync_ready(&held, view, (stored, row), *ready, wrote).await?;
                return Ok(true);
            }
            Err(unready) => unready,
        };
        row.authors.extend(wrote.people);
        if stored.removal.is_some() {
            self.close_questions(&held, &[(id.clone(), None)], &mut entry).await?;
        }
        row.of_people = matches!(unready, Unready::Later(_)) && (row.of_people || wrote.touched);
        let (unclear, reason, waiting_for) = match unready {
            Unready::NoVersion(artifact) => {
                (Unclear::UntilCommit, None, format!("a first version of {artifact}"))
            }
            Unready::NoTarget => (
                Unclear::NoTarget,
                None,
                format!(
                    "a dhow that runs deployments of type {}; this one reads and validates them",
                    id.target
                ),
            ),
            Unready::Broken(reason) => {
                entry.event(Event::Stalled { deployment: id.clone(), reason: reason.clone() });
                (Unclear::UntilCommit, Some(reason), "a commit that mends it; what runs stays".into())
            }
            Unready::Missing(reason) | Unready::Later(reason) => {
                tracing::warn!(deployment = %id, reason, "it cannot be told yet what should run; it is tried again");
                let waits = format!("{reason}; it is tried again");
                (Unclear::ForNow, Some(reason), waits)
            }
        };
        if row.waiting_for.as_ref() != Some(&waiting_for) {
            row.since_ms = self.now_ms();
        }
        if unclear == Unclear::ForNow {
            self.unclear.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        row.unclear = Some(unclear);
        row.waiting_for = Some(waiting_for);
        row.reason = reason;
        self.store_row(&stored, &row, entry).await?;
        Ok(true)
    }

    /// Whether an edit by which a person went back may just have been written.
    async fn may_have_gone_back(&self, id: &DeploymentId) -> Result<bool, EngineError> {
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        Ok(hold.is_some_and(|hold| hold.reason == HoldReason::RolledBackByCommand))
    }

    /// Stores a row where it changed, with what belongs to it.
    async fn store_row(
        &self,
        stored: &DeploymentRow,
        row: &DeploymentRow,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        if stored != row {
            entry.put(row)?;
        }
        Ok(self.journal.write(entry).await?)
    }

    async fn sync_ready(
        self: &Arc<Self>,
        held: &Held,
        view: &Arc<View>,
        (stored, mut row): (DeploymentRow, DeploymentRow),
        ready: Ready,
        wrote: Wrote,
    ) -> Result<(), EngineError> {
        let id = row.id.clone();
        let mut entry = Entry::new();
        clear(&mut row);
        let open = self.open_rollouts(&id).await?;
        let (runs, comes) = leads_to(&ready.hash, &row, &open);
        let returned = stored.removal.is_some();
        if row.desired == Some(ready.hash) && (!returned || runs || comes.is_some()) {
            return self.sync_unchanged(held, (stored, row), runs, entry).await;
        }
        row.authors.extend(wrote.people.iter().cloned());
        // What is left of a removal is no stranger's.
        let unknown = row.desired.is_none() && row.rollout.is_none() && row.running.is_none();
        let first_sight = unknown && row.debts.is_empty();
        let of_people = wrote.touched || unclear_of_people(&stored);
        let (known, mut hold, gives_way) = self.hold_at(view, &row, &ready, of_people, &mut entry).await?;
        row.desired = Some(ready.hash);
        row.desired_pins.clone_from(&ready.rendered.pins);
        // Why the last rollout was taken back is told until the next one, also when the fleet says what runs again.
        if !goes_back(&row) {
            row.reason = None;
        }
        row.waiting_for = None;
        if self.release(&id, &ready.hash).await?.is_none() {
            entry.put(&ready.release(&view.commit))?;
        }
        if first_sight && self.first_sight(&mut row, &ready, &mut entry).await? {
            row.commit = Some(view.commit.clone());
            entry.put(&row)?;
            self.journal.write(entry).await?;
            self.look_at_health(&id);
            return Ok(());
        }
        // What runs is not held, unless the fleet is about to say something else.
        let is_held = |hold: &&Hold| hold.holds(&id, &ready.hash) && (gives_way || !runs);
        let waits = hold.as_ref().filter(is_held).map(hold::until);
        let is_held = waits.is_some();
        if !is_held {
            hold::end_of(&mut hold, &id);
        }
        hold::store(known, hold, &mut entry)?;
        if runs || comes.is_some() || is_held {
            let stays = |r: &Rollout| r.is_rollback && (is_held || r.hash == ready.hash);
            let comes_back = open.iter().any(|r| r.state.is_waiting() && stays(r));
            self.supersede_waiting_but(held, &mut row, &mut entry, stays).await?;
            self.close_questions(held, &[(id.clone(), None)], &mut entry).await?;
            // The row tells of a way back that waits.
            if !comes_back {
                self.show_what_runs(&mut row, comes, runs).await?;
            }
            row.waiting_for = waits;
            if !is_held {
                row.commit = Some(view.commit.clone());
            }
            entry.put(&row)?;
            return Ok(self.journal.write(entry).await?);
        }
        let rollout = self.new_rollout(&mut row, &ready.hash, &view.commit, false);
        self.enqueue(held, row, rollout, entry).await
    }

    /// The fleet says what it said before.
    async fn sync_unchanged(
        self: &Arc<Self>,
        held: &Held,
        (stored, mut row): (DeploymentRow, DeploymentRow),
        runs: bool,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let id = row.id.clone();
        if runs {
            row.authors.clear();
        }
        if row.waiting_for.is_none() {
            row.waiting_for = self.held_until(&row).await?;
        }
        let goes_back = !runs && self.stage_left_out_of(&mut row, None, &mut entry).await?;
        if stored.removal.is_some() {
            self.close_questions(held, &[(id.clone(), None)], &mut entry).await?;
        }
        self.store_row(&stored, &row, entry).await?;
        self.kick(&id);
        if goes_back {
            self.hurry();
        }
        Ok(())
    }

    /// Where what waited has ended, the row tells again of what runs or comes.
    async fn show_what_runs(
        &self,
        row: &mut DeploymentRow,
        comes: Option<&Rollout>,
        runs: bool,
    ) -> Result<(), EngineError> {
        if let Some(active) = comes {
            (row.rollout, row.phase) = (Some(active.number), Some(active.state));
        } else if runs {
            row.authors.clear();
            let brought = self
                .last_rollouts(&row.id)
                .await?
                .into_iter()
                .find(|r| r.state == State::Succeeded && Some(r.hash) == row.running);
            match brought {
                _ if goes_back(row) => {}
                Some(rollout) => (row.rollout, row.phase) = (Some(rollout.number), Some(rollout.state)),
                None if row.adopted => row.phase = None,
                None => {}
            }
        }
        Ok(())
    }
}

/// Whether a rollout turns back, or was told to: it leads nowhere any more.
pub(crate) fn ends(row: &DeploymentRow, rollout: &Rollout) -> bool {
    rollout.state == State::RollingBack
        || row.stop.as_ref().is_some_and(|stop| stop.rollout == rollout.number)
}

/// Whether a release runs and stays, and the rollout that brings it.
fn leads_to<'a>(hash: &DesiredHash, row: &DeploymentRow, open: &'a [Rollout]) -> (bool, Option<&'a Rollout>) {
    let ends = |r: &Rollout| ends(row, r);
    let active = open.iter().find(|r| !r.state.is_waiting());
    let runs = row.running.as_ref() == Some(hash) && active.is_none_or(|r| r.hash == *hash || ends(r));
    // A way back that waits is as good as under way: a rollout in its place would be asked for approvals.
    let under_way = |r: &Rollout| if r.state.is_waiting() { r.is_rollback } else { !ends(r) };
    (runs, open.iter().find(|r| r.hash == *hash && under_way(r)))
}

/// Its last rollout was taken back, or is just being.
fn goes_back(row: &DeploymentRow) -> bool {
    matches!(row.phase, Some(State::RollingBack | State::RolledBack))
}

/// What it was said to wait for while it could not be told what should run is over.
fn clear(row: &mut DeploymentRow) {
    row.of_people = false;
    if row.unclear.take().is_some() {
        row.reason = None;
        row.waiting_for = (row.phase == Some(State::Stalled)).then(|| {
            format!("`dhow sync {} {}`, or a commit that changes it", row.id.service, row.id.environment)
        });
    }
}
