//! The phases of a rollout: steps, then the checks that belong to the phase.

use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::CheckSpec;
use dhow_core::port::{Context, Front, Phase, Settled, Step, StoreExt as _, Target, TargetError};
use dhow_core::rollout::{
    CheckFailure, Event, Health, Hold, Proof, Release, Rollout, State, StepRecord, StepState, Transition,
};

use super::Turn;
use crate::check::{self, CheckContext, Failed};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// Why a phase did not come to its end.
enum Stop {
    /// It may succeed by itself.
    Later(String),
    /// The version or the files are to blame.
    Failed(String, Option<CheckFailure>),
    /// A person must act; nothing is to blame.
    Blocked(String),
    /// A newer rollout waits, or a person said stop.
    Interrupted,
    /// The engine's own trouble.
    Engine(EngineError),
}

impl<E: Into<EngineError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

fn stop_of(error: TargetError) -> Stop {
    match error {
        TargetError::Passing(reason) => Stop::Later(reason),
        TargetError::Failed(reason) => Stop::Failed(reason, None),
        TargetError::Blocked(reason) => Stop::Blocked(reason),
        fenced @ TargetError::Fenced { .. } => Stop::Blocked(fenced.to_string()),
    }
}

impl Inner {
    pub(super) async fn do_phase(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        if rollout.cancelled_by.is_some() && rollout.state != State::Finishing {
            let who = rollout.cancelled_by.as_ref().map(ToString::to_string).unwrap_or_default();
            self.step_to(&mut rollout, Transition::Cancel, Some(format!("cancelled by {who}")), Entry::new())
                .await?;
            return Ok(Turn::On);
        }
        let Some(phase) = rollout.state.phase() else { return Ok(Turn::Rest) };
        match self.phase(&mut rollout, phase).await {
            Ok(()) if phase == Phase::Finishing => self.succeed(rollout).await,
            Ok(()) => {
                self.step_to(&mut rollout, Transition::Advance, None, Entry::new()).await?;
                Ok(Turn::On)
            }
            Err(Stop::Engine(error)) => Err(error),
            Err(Stop::Interrupted) => Ok(Turn::On),
            Err(Stop::Later(reason) | Stop::Blocked(reason) | Stop::Failed(reason, _))
                if phase == Phase::Finishing =>
            {
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::After(Self::jitter(Duration::from_secs(5))))
            }
            Err(Stop::Later(reason)) => {
                if self.newer_waits(&rollout).await? {
                    let told = format!("{reason}; a newer one takes its place");
                    self.step_to(&mut rollout, Transition::Fail, Some(told), Entry::new()).await?;
                    return Ok(Turn::On);
                }
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::After(Self::jitter(Duration::from_secs(2))))
            }
            Err(Stop::Blocked(reason)) => {
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::After(Self::jitter(Duration::from_secs(30))))
            }
            Err(Stop::Failed(reason, failure)) => {
                rollout.failure = failure;
                rollout.blame = !self.newer_waits(&rollout).await? || rollout.failure.is_none();
                self.step_to(&mut rollout, Transition::Fail, Some(reason), Entry::new()).await?;
                Ok(Turn::On)
            }
        }
    }

    async fn tell(&self, rollout: &mut Rollout, reason: &str) -> Result<(), EngineError> {
        tracing::warn!(deployment = %rollout.deployment, state = %rollout.state, reason, "the rollout waits; it is tried again");
        if rollout.reason.as_deref() == Some(reason) {
            return Ok(());
        }
        rollout.reason = Some(reason.to_owned());
        let mut entry = Entry::new();
        let mut row = self.row(&rollout.deployment).await?;
        row.reason = Some(reason.to_owned());
        entry.put(rollout)?.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    pub(super) async fn newer_waits(&self, rollout: &Rollout) -> Result<bool, EngineError> {
        Ok(self.open_rollouts(&rollout.deployment).await?.iter().any(|r| r.number > rollout.number))
    }

    async fn phase(self: &Arc<Self>, rollout: &mut Rollout, phase: Phase) -> Result<(), Stop> {
        let (release, target, context) = self.context(rollout).await?;
        if phase == Phase::Preparing && rollout.steps.is_empty() {
            self.plan_rollout(rollout, &release, target.as_ref()).await?;
        }
        let _turn = match rollout.before {
            None => self.creations.acquire().await.ok(),
            Some(_) => None,
        };
        for at in 0..rollout.steps.len() {
            if rollout.steps[at].step.phase != phase || rollout.steps[at].state == StepState::Done {
                continue;
            }
            self.do_step(rollout, at, target.as_ref(), &context).await?;
        }
        let checks = match phase {
            Phase::Checking => Some(Front::Candidate),
            Phase::Verifying => Some(Front::Door),
            _ => None,
        };
        if let Some(front) = checks {
            self.check(rollout, &release, target.as_ref(), front).await?;
        }
        if phase == Phase::Verifying {
            for place in &release.rendered.places {
                target.verify(&release.rendered, &release.hash, place).await.map_err(stop_of)?;
            }
        }
        Ok(())
    }

    /// What a rollout's steps run under.
    pub(super) async fn context(
        self: &Arc<Self>,
        rollout: &Rollout,
    ) -> Result<(Release, Arc<dyn Target>, Context), EngineError> {
        let id = &rollout.deployment;
        let release = self.release(id, &rollout.hash).await?.ok_or_else(|| {
            EngineError::NotFound(format!("release {} of {id} is not stored", rollout.hash.short()))
        })?;
        let target = self.target(id.target).ok_or_else(|| {
            EngineError::Refused(format!("this dhow does not run deployments of type {}", id.target))
        })?;
        let tree = self.ports.fleet.tree(&release.commit).await.ok();
        let context = Context {
            rendered: Arc::new(release.rendered.clone()),
            hash: release.hash,
            tree,
            rollout: rollout.number,
            epoch: self.lease.epoch,
            bundles: Arc::clone(&self.ports.source),
            keep: self.keep(id).await?,
        };
        Ok((release, target, context))
    }

    /// The releases that are kept: the newest healthy ones, what runs and what should.
    async fn keep(
        &self,
        id: &dhow_core::noun::DeploymentId,
    ) -> Result<Vec<dhow_core::fleet::DesiredHash>, EngineError> {
        let mut releases = self.releases(id).await?;
        releases.sort_by_key(|r| std::cmp::Reverse(r.healthy_at_ms));
        let row = self.row(id).await?;
        let mut keep: Vec<_> =
            releases.into_iter().take(self.settings.keep_releases).map(|r| r.hash).collect();
        keep.extend(row.running.into_iter().chain(row.desired).chain(row.healthy_release));
        Ok(keep)
    }

    /// Every stored release of a deployment.
    pub(crate) async fn releases(
        &self,
        id: &dhow_core::noun::DeploymentId,
    ) -> Result<Vec<Release>, EngineError> {
        let scan = dhow_core::port::Scan { prefix: format!("{id}/"), ..Default::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    async fn plan_rollout(
        &self,
        rollout: &mut Rollout,
        release: &Release,
        target: &dyn Target,
    ) -> Result<(), Stop> {
        let mut steps = Vec::new();
        for place in &release.rendered.places {
            let observed = target.observe(&release.rendered, place).await.map_err(stop_of)?;
            steps.extend(target.plan(&release.rendered, &release.hash, place, &observed));
        }
        steps.sort_by_key(|s| s.phase);
        rollout.steps =
            steps.into_iter().map(|step| StepRecord { step, state: StepState::Planned }).collect();
        rollout.notes.clone_from(&release.rendered.notes);
        let mut entry = Entry::new();
        entry.put(rollout)?;
        self.journal.write(entry).await?;
        Ok(())
    }

    async fn do_step(
        &self,
        rollout: &mut Rollout,
        at: usize,
        target: &dyn Target,
        context: &Context,
    ) -> Result<(), Stop> {
        let step: Step = rollout.steps[at].step.clone();
        if rollout.steps[at].state == StepState::Started {
            let settled = target.settle(&step, context).await.map_err(stop_of)?;
            if settled == Settled::Done {
                return Ok(self.step_done(rollout, at).await?);
            }
        }
        let (deployment, key) = (rollout.deployment.clone(), step.key.clone());
        let number = rollout.number;
        rollout.steps[at].state = StepState::Started;
        let mut entry = Entry::new();
        entry.event(Event::StepStarted {
            deployment: deployment.clone(),
            rollout: number,
            key: key.clone(),
            undo: false,
        });
        entry.put(rollout)?;
        self.journal.write(entry).await?;
        match target.execute(&step, context).await {
            Ok(()) => Ok(self.step_done(rollout, at).await?),
            Err(error) => {
                let reason = format!("{}: {error}", step.summary);
                let mut entry = Entry::new();
                entry.event(Event::StepFailed {
                    deployment,
                    rollout: number,
                    key,
                    undo: false,
                    reason: reason.clone(),
                });
                self.journal.write(entry).await?;
                Err(stop_of(error))
            }
        }
    }

    async fn step_done(&self, rollout: &mut Rollout, at: usize) -> Result<(), EngineError> {
        rollout.steps[at].state = StepState::Done;
        let mut entry = Entry::new();
        entry.event(Event::StepDone {
            deployment: rollout.deployment.clone(),
            rollout: rollout.number,
            key: rollout.steps[at].step.key.clone(),
            undo: false,
        });
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }

    async fn check(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        front: Front,
    ) -> Result<(), Stop> {
        let checks = self.checks(release, target).await.map_err(stop_of)?;
        let address = target.address(&release.rendered, &release.hash, front).await.map_err(stop_of)?;
        let host = target.host(&release.rendered);
        let context =
            CheckContext { address: &address, host: &host, allow_commands: self.settings.command_checks };
        let interrupt = self.worker(&rollout.deployment).interrupt;
        let ran = tokio::select! {
            ran = check::run_all(&checks, &context, self.ports.clock.as_ref(), &interrupt) => ran,
            // The next start checks again, from the beginning.
            () = self.stop.cancelled() => return Err(Stop::Interrupted),
        };
        match ran {
            Ok(()) => Ok(()),
            Err(Failed::Check(failure)) => {
                let last = failure.answers.last().cloned().unwrap_or_default();
                let side =
                    if front == Front::Candidate { "before it went live" } else { "through the front door" };
                Err(Stop::Failed(format!("the check {} failed {side}: {last}", failure.check), Some(failure)))
            }
            Err(Failed::Interrupted) => {
                let rollout: Option<Rollout> =
                    self.ports.store.load(&Rollout::key_of(&rollout.deployment, rollout.number)).await?;
                if rollout.is_some_and(|r| r.cancelled_by.is_some()) {
                    return Err(Stop::Interrupted);
                }
                for spec in &checks {
                    if let Err(answer) = check::try_once(spec, &context).await {
                        let failure =
                            CheckFailure { check: context.describe(spec), answers: vec![answer.clone()] };
                        return Err(Stop::Failed(
                            format!("the check {} fails and a newer rollout waits: {answer}", failure.check),
                            Some(failure),
                        ));
                    }
                }
                Err(Stop::Interrupted)
            }
        }
    }

    /// The checks of a release: its own, its service's, or the default of its type.
    pub(crate) async fn checks(
        &self,
        release: &Release,
        target: &dyn Target,
    ) -> Result<Vec<CheckSpec>, TargetError> {
        let id = &release.deployment;
        let view = self.view().ok();
        let own = view.as_ref().and_then(|v| v.fleet.deployments.get(id)).map(|d| d.settings.checks.clone());
        let checks = own.filter(|c| !c.is_empty()).or_else(|| {
            let view = view.as_ref()?;
            view.fleet.services.get(&id.service).map(|s| s.checks.clone())
        });
        match checks.filter(|c| !c.is_empty()) {
            Some(checks) => Ok(checks),
            None => {
                let probe = target.default_probe(&release.rendered, &release.hash).await?;
                Ok(probe.into_iter().map(CheckSpec::new).collect())
            }
        }
    }

    async fn succeed(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        let id = rollout.deployment.clone();
        {
            let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
            let mut entry = Entry::new();
            let mut row = self.row(&id).await?;
            row.running = Some(rollout.hash);
            row.commit = Some(rollout.commit.clone());
            row.adopted = false;
            row.healthy_ms = 0;
            let hold: Option<Hold> =
                self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
            if row.desired.as_ref() == row.running.as_ref() {
                self.settle_hold(&row, hold, &mut entry)?;
            }
            self.prove(&mut row, &mut entry).await?;
            let mut first = Entry::new();
            first.put(&row)?;
            self.journal.write(first).await?;
            rollout.reason = None;
            self.step_to(&mut rollout, Transition::Advance, None, entry).await?;
        }
        self.after_success(&id).await?;
        Ok(Turn::On)
    }

    /// A release is healthy: said of it, of its versions and of its deployment.
    pub(crate) async fn prove(
        &self,
        row: &mut dhow_core::rollout::DeploymentRow,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let Some(running) = row.running else { return Ok(()) };
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
        if let Some(release) = self.release(&row.id, &running).await? {
            for pin in release.rendered.pins.values() {
                let proof = Proof { deployment: row.id.clone(), pin: pin.clone(), at_ms: now };
                if self.ports.store.load::<Proof>(&dhow_core::port::Record::key(&proof)).await?.is_none() {
                    entry.put(&proof)?;
                }
            }
            entry.put(&Release { healthy_at_ms: Some(now), ..release })?;
        }
        Ok(())
    }

    /// What a deployment that became healthy sets going: promotions, and those that waited for it.
    pub(crate) async fn after_success(
        self: &Arc<Self>,
        id: &dhow_core::noun::DeploymentId,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        for environment in view.fleet.environments.values() {
            if environment.from.as_ref() == Some(&id.environment) {
                self.spawn_select(&id.service, &environment.name);
                for downstream in view.deployments_of(&id.service, &environment.name) {
                    self.kick(&downstream);
                }
            }
        }
        for service in view.fleet.services.values().filter(|s| s.after.contains(&id.service)) {
            for waiting in view.deployments_of(&service.name, &id.environment) {
                self.kick(&waiting);
            }
        }
        Ok(())
    }
}
