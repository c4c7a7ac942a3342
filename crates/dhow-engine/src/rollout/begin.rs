//! May a rollout begin? Gates bind it, whatever way its change came into the fleet (design rule 5.1).

use std::sync::Arc;
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{ApprovedHash, DeploymentRow, Health, Hold, Rollout, State, Transition};

use super::Turn;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::sync::until;

/// How often it is looked whether those that `after` names are healthy.
const AFTER: Duration = Duration::from_secs(5);

impl Inner {
    pub(super) async fn try_begin(
        self: &Arc<Self>,
        number: u64,
        id: &DeploymentId,
    ) -> Result<Turn, EngineError> {
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let open = self.open_rollouts(id).await?;
        let Some(mut rollout) = open.last().filter(|r| r.number == number && r.state.is_waiting()).cloned()
        else {
            return Ok(Turn::On);
        };
        if open.len() > 1 && open.iter().any(|r| !r.state.is_waiting()) {
            return Ok(Turn::On);
        }
        if rollout.is_rollback {
            return self.begin(&held, rollout).await;
        }
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        if let Some(hold) = hold.filter(|h| h.holds(id, &rollout.hash)) {
            let reason = Some(format!("it is held: {}", hold.message));
            let mut row = self.row(id).await?;
            let mut entry = Entry::new();
            self.stage_move(&held, &mut rollout, &mut row, Transition::Supersede, reason, &mut entry)?;
            row.waiting_for = Some(until(&hold));
            entry.put(&rollout)?.put(&row)?;
            self.journal.write(entry).await?;
            return Ok(Turn::On);
        }
        if let Some(waits) = self.closed_gate(&rollout).await? {
            if rollout.state == State::Queued {
                self.step_to(&held, &mut rollout, Transition::Gate, None, Entry::new()).await?;
            }
            if waits.asks {
                let authors = self.row(id).await?.authors;
                self.propose_rollout(&held, &rollout, authors).await?;
            }
            self.tell_waiting(&held, &rollout, waits.reason).await?;
            return Ok(Turn::Rest);
        }
        if let Some(first) = self.must_be_first(&rollout).await? {
            self.tell_waiting(&held, &rollout, format!("{first} to be healthy, as `after` says")).await?;
            return Ok(Turn::After(AFTER));
        }
        self.begin(&held, rollout).await
    }

    /// It begins, from what runs now: while it waited, others came through. What was to be brought back is not any more.
    async fn begin(self: &Arc<Self>, held: &Held, mut rollout: Rollout) -> Result<Turn, EngineError> {
        let mut row = self.row(&rollout.deployment).await?;
        rollout.before = row.running;
        row.mend = None;
        let mut entry = Entry::new();
        self.stage_move(held, &mut rollout, &mut row, Transition::Begin, None, &mut entry)?;
        entry.put(&rollout)?.put(&row)?;
        self.journal.write(entry).await?;
        Ok(Turn::On)
    }

    async fn tell_waiting(&self, _held: &Held, rollout: &Rollout, reason: String) -> Result<(), EngineError> {
        let mut row = self.row(&rollout.deployment).await?;
        if row.waiting_for.as_ref() != Some(&reason) && row.rollout == Some(rollout.number) {
            row.waiting_for = Some(reason);
            let mut entry = Entry::new();
            entry.put(&row)?;
            self.journal.write(entry).await?;
        }
        Ok(())
    }

    async fn closed_gate(self: &Arc<Self>, rollout: &Rollout) -> Result<Option<Closed>, EngineError> {
        let id = &rollout.deployment;
        let view = self.view()?;
        let gates = self.gates(&view, &id.environment);
        if let Some(from) = &gates.from {
            let row: DeploymentRow = self.row(id).await?;
            let release = self.release(id, &rollout.hash).await?;
            let mut pins = release.map(|r| r.rendered.pins).unwrap_or_default();
            if let Some(healthy) = &row.healthy_release
                && let Some(healthy) = self.release(id, healthy).await?
            {
                pins.retain(|artifact, pin| {
                    healthy.rendered.pins.get(artifact).is_none_or(|p| p.digest != pin.digest)
                });
            }
            let unproven = self.unproven(&view, &id.service, from, &pins).await?;
            if let Some(artifact) = unproven.first() {
                let reason = format!(
                    "{artifact} {} to run healthy in {from} first, as `from` says",
                    pins[artifact].digest.short()
                );
                return Ok(Some(Closed { asks: false, reason }));
            }
        }
        if gates.effective_approvals().is_none() {
            return Ok(None);
        }
        let key = ApprovedHash::key_of(id, &rollout.hash);
        if self.ports.store.load::<ApprovedHash>(&key).await?.is_some() {
            return Ok(None);
        }
        let reason = format!("approval: `dhow approve {} {}`", id.service, id.environment);
        Ok(Some(Closed { asks: true, reason }))
    }

    /// A service that `after` names and that is not healthy in this environment.
    async fn must_be_first(&self, rollout: &Rollout) -> Result<Option<String>, EngineError> {
        let id = &rollout.deployment;
        let view = self.view()?;
        let Some(service) = view.fleet.services.get(&id.service) else { return Ok(None) };
        for first in &service.after {
            for other in view.deployments_of(first, &id.environment) {
                let row = self.row(&other).await?;
                if row.health != Health::Healthy && self.target(other.target).is_some() {
                    return Ok(Some(other.to_string()));
                }
            }
        }
        Ok(None)
    }
}

/// A gate that is closed.
struct Closed {
    /// People are asked.
    asks: bool,
    /// What it waits for.
    reason: String,
}
