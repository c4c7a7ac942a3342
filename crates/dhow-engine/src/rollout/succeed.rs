//! A rollout came to its end, or a deployment became healthy: what is proven, and what that sets going.

use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, Pin};
use dhow_core::port::{Record as _, StoreExt as _};
use dhow_core::rollout::{DeploymentRow, End, Event, Health, Hold, Proof, Release, Rollout, Transition};

use super::Turn;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

impl Inner {
    pub(super) async fn succeed(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        let id = rollout.deployment.clone();
        let mut debts = Vec::new();
        {
            let held = self.lock(&rollout).await;
            let mut row = self.row(&id).await?;
            row.running = Some(rollout.hash);
            row.commit = Some(rollout.commit.clone());
            row.adopted = false;
            row.healthy_ms = 0;
            let mut entry = Entry::new();
            if row.desired == row.running {
                row.authors.clear();
                self.stage_end_of_hold(&held, &id, &mut entry).await?;
            }
            let stop = row.stop.take().filter(|stop| stop.rollout == rollout.number);
            self.prove(&mut row, &mut entry).await?;
            let told = self.stage_debts_of(&held, &rollout, &mut row, &mut entry).await?;
            rollout.reason = None;
            self.stage_move(&held, &mut rollout, &mut row, Transition::Advance, None, &mut entry)?;
            if row.rollout == Some(rollout.number) && row.removal.is_none() {
                row.waiting_for = self.held_until(&row).await?;
            }
            if !rollout.behind.is_empty() {
                let told = told.trim_start_matches("; ").to_owned();
                entry.event(Event::HealthChanged {
                    deployment: id.clone(),
                    health: Health::Degraded,
                    reason: Some(told.clone()),
                });
                (row.health, row.reason) = (Health::Degraded, Some(told));
            }
            debts.clone_from(&row.debts);
            entry.put(&rollout)?;
            // It was through when its version failed beside it: it goes back all the same.
            let next = match stop.map(|stop| stop.end) {
                Some(End::FailedElsewhere) => self.stage_send_back(&held, row.clone(), &mut entry).await?,
                _ if rollout.is_rollback => {
                    self.stage_after_way_back(&held, &row, &rollout, &mut entry).await?
                }
                _ => None,
            };
            let goes_back = rollout.is_rollback
                && next.is_none()
                && self.stage_left_out_of(&mut row, Some(&rollout), &mut entry).await?;
            if rollout.is_rollback && next.is_none() && row.waiting_for.is_none() {
                row.waiting_for = self.spent(&row).await?;
            }
            if next.is_none() {
                entry.put(&row)?;
            }
            self.stage_prune(&id, next, &mut entry).await?;
            self.journal.write(entry).await?;
            if goes_back {
                self.hurry();
            }
            match rollout.behind.is_empty() {
                true => self.healthy_from_now(&id),
                false => self.forget(&id),
            }
        }
        self.collect_all(&id, &debts);
        self.after_success(&id);
        Ok(Turn::On)
    }

    /// What a deployment waits for that does not run what the fleet says, as that is in quarantine.
    async fn spent(&self, row: &DeploymentRow) -> Result<Option<String>, EngineError> {
        let Some(desired) = row.desired.filter(|desired| Some(*desired) != row.running) else {
            return Ok(None);
        };
        let Some(release) = self.release(&row.id, &desired).await? else { return Ok(None) };
        let spent = self.quarantined_here(&row.id, release.rendered.pins.values()).await?;
        let told = |pin: Pin| {
            let DeploymentId { service, environment, .. } = &row.id;
            let what = format!("another version, a commit, or `dhow sync {service} {environment}`");
            format!("{what}: {} is in quarantine", pin.reference())
        };
        Ok(spent.map(told))
    }

    /// A way back may have taken the place of what waited. Where the fleet still says that, nobody holds it and nothing of
    /// it failed, it comes now.
    async fn stage_after_way_back(
        self: &Arc<Self>,
        held: &Held,
        row: &DeploymentRow,
        way_back: &Rollout,
        entry: &mut Entry,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let DeploymentId { service, environment, .. } = &row.id;
        let is_new = row.desired != row.running && row.removal.is_none() && row.unclear.is_none();
        let Some(desired) = row.desired.filter(|_| is_new) else { return Ok(None) };
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let last = self.last_rollouts(&row.id).await?;
        let before = last.iter().filter(|rollout| rollout.number < way_back.number);
        let mut gave_way = before.take_while(|rollout| rollout.gave_way());
        if !gave_way.any(|rollout| rollout.hash == desired && !rollout.is_rollback) {
            return Ok(None);
        }
        let comes = self.open_rollouts(&row.id).await?.iter().any(|r| r.number != way_back.number);
        let is_refused = |hold: Hold| {
            let rejected = hold.rejected.get(&row.id).is_some_and(|hashes| hashes.contains(&desired));
            rejected || hold.holds(&row.id, &desired)
        };
        if comes || hold.is_some_and(is_refused) {
            return Ok(None);
        }
        let Some(release) = self.release(&row.id, &desired).await? else { return Ok(None) };
        if self.quarantined_here(&row.id, release.rendered.pins.values()).await?.is_some() {
            return Ok(None);
        }
        let mut row = row.clone();
        let rollout = self.new_rollout(&mut row, &desired, &release.commit, false);
        self.stage_rollout(held, row, rollout, entry).await?;
        Ok(Some(desired))
    }

    /// A release is healthy: said of it, of its versions and of its deployment, where that is new.
    pub(crate) async fn prove(&self, row: &mut DeploymentRow, entry: &mut Entry) -> Result<(), EngineError> {
        let Some(running) = row.running else { return Ok(()) };
        let proven = row.healthy_release == Some(running);
        if row.health == Health::Healthy && proven {
            return Ok(());
        }
        let now = self.now_ms();
        if row.health != Health::Healthy {
            entry.event(Event::HealthChanged {
                deployment: row.id.clone(),
                health: Health::Healthy,
                reason: None,
            });
        }
        row.health = Health::Healthy;
        row.healthy_release = Some(running);
        if proven {
            return Ok(());
        }
        if let Some(release) = self.release(&row.id, &running).await? {
            for pin in release.rendered.pins.values() {
                let proof = Proof { deployment: row.id.clone(), pin: pin.clone(), at_ms: now };
                if self.ports.store.load::<Proof>(&proof.key()).await?.is_none() {
                    entry.put(&proof)?;
                }
            }
            entry.put(&Release { healthy_at_ms: Some(now), ..release })?;
        }
        Ok(())
    }

    /// What a deployment that became healthy sets going: promotions, and those that waited for it.
    pub(crate) fn after_success(self: &Arc<Self>, id: &DeploymentId) {
        let Ok(view) = self.view() else { return };
        for environment in self.downstream(&id.environment) {
            self.select_soon(&id.service, &environment);
            view.deployments_of(&id.service, &environment).iter().for_each(|waiting| self.kick(waiting));
        }
        for service in view.followers(&id.service) {
            view.deployments_of(service, &id.environment).iter().for_each(|waiting| self.kick(waiting));
        }
    }
}
