//! Health after a rollout: checks go on, healthy time adds up, drift is seen (design rule 5.4).

use std::sync::Arc;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Front, Scan, StoreExt as _, Target};
use dhow_core::rollout::{DeploymentRow, Event, Health};
use futures::stream::{self, StreamExt as _};

use crate::check::{self, CheckContext};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// Deployments that are looked at at a time.
const WIDTH: usize = 8;

impl Inner {
    /// Repeats the checks of everything that runs.
    pub(crate) async fn health_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.ports.clock.sleep(Self::jitter(self.settings.health_interval)) => {}
            }
            let rows: Vec<DeploymentRow> = match self.ports.store.list(Scan::default()).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "health could not be looked at");
                    continue;
                }
            };
            let running = rows.into_iter().filter(|r| r.running.is_some() && !r.removing).map(|r| r.id);
            stream::iter(running)
                .for_each_concurrent(WIDTH, |id| {
                    let inner = Arc::clone(&self);
                    async move {
                        if let Err(error) = inner.look(&id).await {
                            tracing::warn!(deployment = %id, %error, "its health could not be looked at");
                        }
                    }
                })
                .await;
        }
    }

    /// Waits for engines to say that something changed without us.
    pub(crate) async fn drift_loop(self: Arc<Self>, target: Arc<dyn Target>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                id = target.drifted() => self.look_at_health(&id),
            }
        }
    }

    /// Looks at the health of one deployment soon, beside whatever goes on.
    pub(crate) fn look_at_health(self: &Arc<Self>, id: &DeploymentId) {
        let (inner, id) = (Arc::clone(self), id.clone());
        self.tracker.spawn(async move {
            if let Err(error) = inner.look(&id).await {
                tracing::warn!(deployment = %id, %error, "its health could not be looked at");
            }
        });
    }

    /// One look: each check once. A rollout under way looks for itself.
    async fn look(self: &Arc<Self>, id: &DeploymentId) -> Result<(), EngineError> {
        if !self.open_rollouts(id).await?.iter().all(|r| r.state.is_waiting()) {
            return Ok(());
        }
        let Some(running) = self.row(id).await?.running else { return Ok(()) };
        let (Some(release), Some(target)) = (self.release(id, &running).await?, self.target(id.target))
        else {
            return Ok(());
        };
        let trouble = self.trouble(&release, target.as_ref()).await;
        let became_healthy = {
            let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
            let mut row = self.row(id).await?;
            if row.running.as_ref() != Some(&running) {
                return Ok(());
            }
            self.note_health(&mut row, trouble).await?
        };
        let view = self.view()?;
        if became_healthy
            || view.fleet.environments.values().any(|e| e.from.as_ref() == Some(&id.environment))
        {
            self.after_success(id).await?;
        }
        Ok(())
    }

    async fn trouble(&self, release: &dhow_core::rollout::Release, target: &dyn Target) -> Option<String> {
        for place in &release.rendered.places {
            if let Err(error) = target.verify(&release.rendered, &release.hash, place).await {
                return Some(error.to_string());
            }
        }
        let checks = match self.checks(release, target).await {
            Ok(checks) => checks,
            Err(error) => return Some(error.to_string()),
        };
        let address = match target.address(&release.rendered, &release.hash, Front::Door).await {
            Ok(address) => address,
            Err(error) => return Some(error.to_string()),
        };
        let host = target.host(&release.rendered);
        let context =
            CheckContext { address: &address, host: &host, allow_commands: self.settings.command_checks };
        for spec in &checks {
            if let Err(answer) = check::try_once(spec, &context).await {
                return Some(format!("the check {} fails: {answer}", context.describe(spec)));
            }
        }
        None
    }

    /// Stores what a look found. True: it was not healthy before and is now.
    async fn note_health(
        &self,
        row: &mut DeploymentRow,
        trouble: Option<String>,
    ) -> Result<bool, EngineError> {
        let mut entry = Entry::new();
        let before = row.health;
        match trouble {
            None => {
                self.prove(row, &mut entry).await?;
                // Any other reason is of the last rollout, and stays until the next.
                if before == Health::Degraded {
                    row.reason = None;
                }
                let now = self.ports.clock.monotonic();
                let last = self.healthy_since(&row.id, now);
                row.healthy_ms += u64::try_from(now.since(last).as_millis()).unwrap_or(0);
            }
            Some(reason) => {
                self.forget_healthy(&row.id);
                row.healthy_ms = 0;
                if before != Health::Degraded {
                    tracing::warn!(deployment = %row.id, reason, "it is degraded; it is not touched");
                    entry.event(Event::HealthChanged {
                        deployment: row.id.clone(),
                        health: Health::Degraded,
                        reason: Some(reason.clone()),
                    });
                    row.since_ms = self.now_ms();
                }
                row.health = Health::Degraded;
                row.reason = Some(reason);
            }
        }
        entry.put(row)?;
        self.journal.write(entry).await?;
        Ok(before != Health::Healthy && row.health == Health::Healthy)
    }

    /// The last look at which it was healthy in this process, and notes this one.
    fn healthy_since(&self, id: &DeploymentId, now: dhow_core::port::Instant) -> dhow_core::port::Instant {
        let mut looks = self.looks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        looks.insert(id.clone(), now).unwrap_or(now)
    }

    fn forget_healthy(&self, id: &DeploymentId) {
        self.looks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
    }
}
