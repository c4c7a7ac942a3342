//! Rollouts are made: the newest of those that wait is kept.

use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{CommitId, Scan, StoreExt as _};
use dhow_core::rollout::{DeploymentRow, Event, Release, Rollout, State, Transition};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

impl Inner {
    /// A rollout of a deployment to a release, not yet stored.
    pub(crate) fn new_rollout(
        &self,
        row: &mut DeploymentRow,
        hash: &DesiredHash,
        commit: &CommitId,
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
            turns: Vec::new(),
            turn: 0,
            is_rollback,
            reason: None,
            failure: None,
            notes: Vec::new(),
            end: None,
            verdict: None,
            behind: Vec::new(),
            not_left: None,
            undo_tries: 0,
            times: [("queued".to_owned(), now)].into(),
        }
    }

    /// Stores a rollout in the place of those that wait, and drives it.
    pub(crate) async fn enqueue(
        self: &Arc<Self>,
        held: &Held,
        row: DeploymentRow,
        rollout: Rollout,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let id = row.id.clone();
        self.close_questions(held, &[(id.clone(), Some(rollout.hash))], &mut entry).await?;
        self.stage_rollout(held, row, rollout, &mut entry).await?;
        self.journal.write(entry).await?;
        self.set_off(&id);
        Ok(())
    }

    /// Has a deployment's worker see what was just stored, also where it is in the midst of something.
    pub(crate) fn set_off(self: &Arc<Self>, id: &DeploymentId) {
        self.interrupt(id);
        self.kick(id);
    }

    /// Adds a new rollout to an entry, in the place of those that wait. The caller closes the questions about them, and
    /// kicks the deployment once the entry is stored.
    pub(crate) async fn stage_rollout(
        &self,
        held: &Held,
        mut row: DeploymentRow,
        rollout: Rollout,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        self.supersede_waiting(held, &mut row, entry).await?;
        entry.event(Event::RolloutQueued {
            deployment: row.id.clone(),
            rollout: rollout.number,
            hash: rollout.hash,
            commit: rollout.commit.clone(),
        });
        entry.create(&rollout)?.put(&row)?;
        Ok(())
    }

    /// Ends those that wait: of them, only the newest is kept. The row is changed, not stored.
    pub(crate) async fn supersede_waiting(
        &self,
        held: &Held,
        row: &mut DeploymentRow,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        self.supersede_waiting_but(held, row, entry, |_| false).await
    }

    /// The same, but for what `stays`.
    pub(super) async fn supersede_waiting_but(
        &self,
        held: &Held,
        row: &mut DeploymentRow,
        entry: &mut Entry,
        stays: impl Fn(&Rollout) -> bool,
    ) -> Result<(), EngineError> {
        for mut rollout in self.open_rollouts(&row.id).await? {
            if rollout.state.is_waiting() && !stays(&rollout) {
                let reason = Some("a newer commit took its place".to_owned());
                self.stage_move(held, &mut rollout, row, Transition::Supersede, reason, entry)?;
                entry.put(&rollout)?;
            }
        }
        Ok(())
    }

    /// The rollouts of a deployment that are not at their end, oldest first.
    pub(crate) async fn open_rollouts(&self, id: &DeploymentId) -> Result<Vec<Rollout>, EngineError> {
        let scan = Scan { prefix: format!("{id}/"), open_only: true, ..Scan::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    /// The newest rollouts of a deployment, newest first.
    pub(crate) async fn last_rollouts(&self, id: &DeploymentId) -> Result<Vec<Rollout>, EngineError> {
        let limit = Some(self.settings.keep_releases * 2);
        let last = Scan { prefix: format!("{id}/"), descending: true, limit, ..Scan::default() };
        Ok(self.ports.store.list(last).await?)
    }

    /// A stored release.
    pub(crate) async fn release(
        &self,
        id: &DeploymentId,
        hash: &DesiredHash,
    ) -> Result<Option<Release>, EngineError> {
        Ok(self.ports.store.load(&format!("{id}/{hash}")).await?)
    }
}
