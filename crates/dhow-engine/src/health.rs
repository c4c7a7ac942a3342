//! Health after a rollout: checks go on, healthy time adds up, drift is seen (design rule 5.4).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::fleet::CheckSpec;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Front, Instant, Place, Scan, StoreExt as _, Target, TargetError};
use dhow_core::rollout::{DeploymentRow, Event, Health, Release};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};

use crate::check::{self, CheckContext};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::rollout::error_at;

/// Deployments that are looked at at a time.
const WIDTH: usize = 8;
/// How long a place is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// When those are looked at whose place had no room.
const AGAIN: Duration = Duration::from_secs(1);
/// How often healthy time is stored while it grows: a crash loses at most this much of it.
const STORE_EVERY: Duration = Duration::from_secs(300);

/// What was seen of a deployment in this process. Moments of the monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    /// Since when it is healthy without a break, as far as that is not stored yet.
    healthy_from: Option<Instant>,
    /// The last look at which it was.
    healthy_until: Option<Instant>,
    /// When the engine was asked last.
    observed: Option<Instant>,
}

/// Whether it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It was, or there is nothing to look at.
    Done,
    /// One of its places has no room for another look now.
    NoRoom,
}

/// What is wrong with what runs.
struct Ailment {
    reason: String,
    /// Something else runs than what should: somebody changed it.
    changed: bool,
}

impl Inner {
    /// Repeats the checks of everything that runs.
    pub(crate) async fn health_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.ports.clock.sleep(self.jitter(self.settings.health_interval)) => {}
            }
            let rows: Vec<DeploymentRow> = match self.ports.store.list(Scan::default()).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "health could not be looked at");
                    continue;
                }
            };
            let runs = |r: &DeploymentRow| r.running.is_some() && r.removal.is_none();
            let mut left: Vec<DeploymentId> = rows.into_iter().filter(runs).map(|r| r.id).collect();
            while !left.is_empty() && !self.stop.is_cancelled() {
                left = self.look_at_all(left).await;
                if !left.is_empty() {
                    self.ports.clock.sleep(AGAIN).await;
                }
            }
        }
    }

    /// Looks at deployments, several at a time. The answer: those of which a place had no room for another look.
    async fn look_at_all(self: &Arc<Self>, ids: Vec<DeploymentId>) -> Vec<DeploymentId> {
        let looks = stream::iter(ids).map(|id| async move {
            let looked = self.look(&id, false).await.unwrap_or_else(|error| {
                tracing::warn!(deployment = %id, %error, "its health could not be looked at");
                Looked::Done
            });
            (looked == Looked::NoRoom).then_some(id)
        });
        looks.buffer_unordered(WIDTH).filter_map(std::future::ready).collect().await
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

    /// One look: each check once, and now and then what the engine reports. A rollout under way looks for itself.
    /// `nudged`: somebody says that it changed, and the engine is asked.
    pub(crate) async fn look(
        self: &Arc<Self>,
        id: &DeploymentId,
        nudged: bool,
    ) -> Result<Looked, EngineError> {
        if self.is_rolling(id).await? {
            return Ok(Looked::Done);
        }
        let row = self.row(id).await?;
        let Some(running) = row.running else { return Ok(Looked::Done) };
        let (Some(release), Some(target)) = (self.release(id, &running).await?, self.target(id.target))
        else {
            return Ok(Looked::Done);
        };
        let mut places = release.rendered.places.clone();
        places.retain(|place| row.debt(place).is_none());
        let now = self.ports.clock.monotonic();
        let silent = places.iter().any(|place| self.looking.is_silent(place, now));
        let Some(_room) = self.looking.room(&places).filter(|_| !(nudged && silent)) else {
            return Ok(Looked::NoRoom);
        };
        // What ails is asked again with every look: it is not well because nobody asks.
        let engine = self.observe_is_due(id) || nudged || row.health == Health::Degraded;
        let mut trouble = self.ails(&release, target.as_ref(), &places, engine).await;
        if trouble.as_ref().is_none_or(|found| !found.changed)
            && let Some(debt) = row.debts.iter().find(|debt| release.rendered.places.contains(&debt.place))
        {
            trouble = Some(Ailment { reason: self.told_of(id, debt).await?, changed: false });
        }
        let (became_healthy, mends) = {
            let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
            let stored = self.row(id).await?;
            let busy = stored.removal.is_some() || stored.mend.is_some() || self.is_rolling(id).await?;
            if stored.running != Some(running) || stored.debts != row.debts || busy {
                return Ok(Looked::Done);
            }
            self.note_health(&held, stored, trouble).await?
        };
        if mends {
            self.kick(id);
        }
        // Those that wait for more healthy time are told with every look.
        if became_healthy || self.downstream_soaks(id) {
            self.after_success(id);
        }
        Ok(Looked::Done)
    }

    async fn is_rolling(&self, id: &DeploymentId) -> Result<bool, EngineError> {
        Ok(self.open_rollouts(id).await?.iter().any(|r| !r.state.is_waiting()))
    }

    fn downstream_soaks(&self, id: &DeploymentId) -> bool {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        in_force.values().any(|e| e.from.as_ref() == Some(&id.environment) && !e.soak.is_zero())
    }

    /// What is wrong with what runs at these places.
    async fn ails(
        &self,
        release: &Release,
        target: &dyn Target,
        places: &[Place],
        engine: bool,
    ) -> Option<Ailment> {
        let rendered = &release.rendered;
        let looks = places.iter().filter(|_| engine).map(async |place| {
            let verified = self.answer(place, target.verify(rendered, &release.hash, place)).await;
            let error = verified.err()?;
            let changed = matches!(error, TargetError::Failed(_));
            let reason = error_at(rendered, place, error).to_string();
            Some(Ailment { reason, changed })
        });
        // A place that does not answer hides no other: what was changed is what can be mended.
        let found = join_all(looks).await.into_iter().flatten().max_by_key(|ailment| ailment.changed);
        if found.is_some() {
            return found;
        }
        let fails = self.fails(release, target, places).await;
        fails.map(|reason| Ailment { reason, changed: false })
    }

    /// What a place answers, within a time. One that was silent a moment ago is not asked.
    async fn answer<T>(
        &self,
        place: &Place,
        answer: impl Future<Output = Result<T, TargetError>>,
    ) -> Result<T, TargetError> {
        let clock = &self.ports.clock;
        if self.looking.is_silent(place, clock.monotonic()) {
            return Err(TargetError::Passing(format!("{place} did not answer a moment ago")));
        }
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
            self.looking.note_silence(place, clock.monotonic());
            Err(TargetError::Passing(format!("{place} did not answer within {} s", PATIENCE.as_secs())))
        })
    }

    /// What a check says against it at one of these places.
    async fn fails(&self, release: &Release, target: &dyn Target, places: &[Place]) -> Option<String> {
        let first = places.first()?;
        let checks = match self.answer(first, self.checks(release, target)).await {
            Ok(checks) => checks,
            Err(error) => return Some(error.to_string()),
        };
        let looks = places.iter().map(|place| self.fails_at(release, target, place, &checks));
        join_all(looks).await.into_iter().flatten().next()
    }

    async fn fails_at(
        &self,
        release: &Release,
        target: &dyn Target,
        place: &Place,
        checks: &[CheckSpec],
    ) -> Option<String> {
        let host = target.host(&release.rendered);
        let address = target.address(&release.rendered, &release.hash, place, Front::Door);
        let address = match self.answer(place, address).await {
            Ok(address) => address,
            Err(error) => return Some(error.to_string()),
        };
        let context =
            CheckContext { address: &address, host: &host, allow_commands: self.settings.command_checks };
        for spec in checks {
            if let Err(answer) = check::try_once(spec, &context).await {
                let on = release.rendered.on(place);
                return Some(format!("the check {} fails{on}: {answer}", context.describe(spec)));
            }
        }
        None
    }

    /// Stores what a look found, where that is news. The answer: it was not healthy before and is now; it is to be
    /// brought back.
    async fn note_health(
        &self,
        held: &Held,
        stored: DeploymentRow,
        trouble: Option<Ailment>,
    ) -> Result<(bool, bool), EngineError> {
        let mut row = stored.clone();
        let mut entry = Entry::new();
        let mut mends = false;
        match trouble {
            None => {
                if row.health == Health::Degraded {
                    row.reason = None;
                    row.since_ms = self.now_ms();
                }
                if row.mend_left {
                    row.take_mend();
                }
                // Why it does not run what the fleet says may have stood where the trouble was told since.
                let is_news = stored.health == Health::Degraded || stored.mend_left;
                if is_news && row.waiting_for.is_none() {
                    row.waiting_for = self.held_until(&row).await?;
                }
                self.prove(&mut row, &mut entry).await?;
                row.healthy_ms += self.healthy_to_store(&row.id);
            }
            Some(Ailment { reason, changed }) => {
                self.forget(&row.id);
                row.healthy_ms = 0;
                if row.health != Health::Degraded {
                    tracing::warn!(deployment = %row.id, reason, "it is degraded");
                    entry.event(Event::HealthChanged {
                        deployment: row.id.clone(),
                        health: Health::Degraded,
                        reason: Some(reason.clone()),
                    });
                    row.since_ms = self.now_ms();
                }
                if changed {
                    mends = self.stage_mend(held, &mut row, &reason, &mut entry);
                }
                row.health = Health::Degraded;
                if !row.reason.as_ref().is_some_and(|told| told.contains(&reason)) {
                    row.reason = Some(reason);
                }
            }
        }
        if row != stored {
            entry.put(&row)?;
            self.journal.write(entry).await?;
        }
        Ok((stored.health != Health::Healthy && row.health == Health::Healthy, mends))
    }

    /// The accumulated healthy time of what runs.
    pub(crate) fn healthy_time(&self, row: &DeploymentRow) -> Duration {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.get(&row.id);
        let since = look.and_then(|l| Some(l.healthy_until?.since(l.healthy_from?))).unwrap_or_default();
        Duration::from_millis(row.healthy_ms) + since
    }

    /// Healthy time counts from now: a rollout was verified this moment.
    pub(crate) fn healthy_from_now(&self, id: &DeploymentId) {
        let now = self.ports.clock.monotonic();
        let look = Look { healthy_from: Some(now), healthy_until: Some(now), observed: Some(now) };
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), look);
    }

    /// Notes a healthy look. The answer: milliseconds of healthy time that are to be stored now. A gap in which nobody
    /// looked is not counted.
    fn healthy_to_store(&self, id: &DeploymentId) -> u64 {
        let now = self.ports.clock.monotonic();
        let gap = self.settings.health_interval * 3;
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.entry(id.clone()).or_default();
        let seen = look.healthy_until.filter(|until| now.since(*until) <= gap);
        let Some((from, until)) = look.healthy_from.zip(look.healthy_until) else {
            (look.healthy_from, look.healthy_until) = (Some(now), Some(now));
            return 0;
        };
        look.healthy_until = Some(now);
        let counted = if seen.is_some() { now.since(from) } else { until.since(from) };
        if seen.is_some() && counted < STORE_EVERY {
            return 0;
        }
        look.healthy_from = Some(now);
        u64::try_from(counted.as_millis()).unwrap_or(0)
    }

    /// Whether the engine is to be asked again; notes that it is.
    fn observe_is_due(&self, id: &DeploymentId) -> bool {
        let now = self.ports.clock.monotonic();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.entry(id.clone()).or_default();
        let due = look.observed.is_none_or(|at| now.since(at) >= self.settings.observe_interval);
        if due {
            look.observed = Some(now);
        }
        due
    }

    /// Forgets what was seen of a deployment.
    pub(crate) fn forget(&self, id: &DeploymentId) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
