//! The phases of a rollout: steps, then the checks that belong to the phase.

use std::sync::Arc;

use dhow_core::fleet::{CheckSpec, Probe};
use dhow_core::port::{CheckAddress, Front, Phase, Place, Target, TargetError};
use dhow_core::rollout::{CheckFailure, End, Release, Rollout, State, StepState, Transition};

use super::Turn;
use crate::check::{self, CheckContext, Failed};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// Why a phase did not come to its end.
pub(super) enum Stop {
    /// It may succeed by itself.
    Later(String),
    /// What it brings is to blame.
    Failed(String, Option<CheckFailure>),
    /// It does not work yet, and a newer one waits.
    GaveWay(String, CheckFailure),
    /// A person must act; nothing is to blame.
    Blocked(String),
    /// Another Dhow has taken over.
    Fenced(String),
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

pub(super) fn stop_of(error: TargetError) -> Stop {
    match error {
        TargetError::Passing(reason) => Stop::Later(reason),
        TargetError::Failed(reason) => Stop::Failed(reason, None),
        TargetError::Blocked(reason) => Stop::Blocked(reason),
        fenced @ TargetError::Fenced { .. } => Stop::Fenced(fenced.to_string()),
    }
}

impl Inner {
    pub(super) async fn do_phase(self: &Arc<Self>, mut rollout: Rollout) -> Result<Turn, EngineError> {
        if rollout.state != State::Finishing && self.was_stopped(&mut rollout).await? {
            return Ok(Turn::On);
        }
        let Some(phase) = rollout.state.phase() else { return Ok(Turn::Rest) };
        let stop = match self.phase(&mut rollout, phase).await {
            Ok(()) if phase == Phase::Finishing => return self.succeed(rollout).await,
            Ok(()) => {
                let held = self.lock(&rollout).await;
                self.step_to(&held, &mut rollout, Transition::Advance, None, Entry::new()).await?;
                return Ok(Turn::On);
            }
            Err(stop) => stop,
        };
        match stop {
            Stop::Engine(error) => Err(error),
            Stop::Interrupted => Ok(Turn::On),
            Stop::Fenced(reason) => {
                tracing::error!(deployment = %rollout.deployment, reason, "this dhow stops");
                self.stop.cancel();
                Ok(Turn::Rest)
            }
            Stop::Later(reason)
            | Stop::Blocked(reason)
            | Stop::Failed(reason, _)
            | Stop::GaveWay(reason, _)
                if phase == Phase::Finishing =>
            {
                // The new one serves. What is left to tidy up holds up nothing that waits.
                tracing::warn!(deployment = %rollout.deployment, reason, "tidying up failed");
                if self.newer_waits(&rollout).await? {
                    return self.succeed(rollout).await;
                }
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::Retry)
            }
            Stop::Later(reason) | Stop::Blocked(reason) => {
                let told = format!("{reason}; a newer one takes its place");
                if self.give_way(&mut rollout, None, told).await? {
                    return Ok(Turn::On);
                }
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::Retry)
            }
            Stop::GaveWay(reason, failure) => {
                self.give_way(&mut rollout, Some(failure), reason).await?;
                Ok(Turn::On)
            }
            Stop::Failed(reason, failure) => {
                rollout.failure = failure;
                rollout.end = Some(End::Failed);
                let held = self.lock(&rollout).await;
                self.step_to(&held, &mut rollout, Transition::Fail, Some(reason), Entry::new()).await?;
                Ok(Turn::On)
            }
        }
    }

    /// Ends a rollout that a person, a removal or another deployment wants ended.
    async fn was_stopped(&self, rollout: &mut Rollout) -> Result<bool, EngineError> {
        let held = self.lock(rollout).await;
        let mut row = self.row(&rollout.deployment).await?;
        let Some(stop) = row.stop.take().filter(|stop| stop.rollout == rollout.number) else {
            return Ok(false);
        };
        let transition = match stop.end {
            End::Cancelled(_) | End::Removed => Transition::Cancel,
            _ => Transition::Fail,
        };
        rollout.end = Some(stop.end);
        let mut entry = Entry::new();
        self.stage_move(&held, rollout, &mut row, transition, Some(stop.reason), &mut entry)?;
        entry.put(rollout)?.put(&row)?;
        self.journal.write(entry).await?;
        Ok(true)
    }

    /// Goes back for a newer one that waits, if one still does.
    async fn give_way(
        &self,
        rollout: &mut Rollout,
        failure: Option<CheckFailure>,
        reason: String,
    ) -> Result<bool, EngineError> {
        let held = self.lock(rollout).await;
        if !self.newer_waits(rollout).await? {
            return Ok(false);
        }
        rollout.failure = failure;
        rollout.end = Some(End::GaveWay);
        self.step_to(&held, rollout, Transition::Fail, Some(reason), Entry::new()).await?;
        Ok(true)
    }

    /// The lock of a rollout's service in its environment.
    pub(super) async fn lock(&self, rollout: &Rollout) -> crate::locks::Held {
        let id = &rollout.deployment;
        self.scopes.lock(&(id.service.clone(), id.environment.clone())).await
    }

    /// Says why a rollout waits; once for each reason.
    pub(super) async fn tell(&self, rollout: &mut Rollout, reason: &str) -> Result<(), EngineError> {
        if rollout.reason.as_deref() == Some(reason) {
            return Ok(());
        }
        tracing::warn!(deployment = %rollout.deployment, state = %rollout.state, reason, "the rollout waits; it is tried again");
        rollout.reason = Some(reason.to_owned());
        let _held = self.lock(rollout).await;
        let mut entry = Entry::new();
        let mut row = self.row(&rollout.deployment).await?;
        if row.rollout == Some(rollout.number) {
            row.reason = Some(reason.to_owned());
            entry.put(&row)?;
        }
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Whether a newer rollout of the deployment waits for this one.
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
            for place in &release.rendered.places {
                self.check(rollout, &release, target.as_ref(), place, front).await?;
            }
        }
        if phase == Phase::Verifying {
            for place in &release.rendered.places {
                target.verify(&release.rendered, &release.hash, place).await.map_err(stop_of)?;
            }
        }
        Ok(())
    }

    async fn check(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        place: &Place,
        front: Front,
    ) -> Result<(), Stop> {
        let checks = self.checks(release, target).await.map_err(stop_of)?;
        let command = checks.iter().any(|c| matches!(c.probe, Probe::Command { .. }));
        if command && !self.settings.command_checks {
            return Err(Stop::Blocked(check::COMMANDS_REFUSED.to_owned()));
        }
        let address =
            target.address(&release.rendered, &release.hash, place, front).await.map_err(stop_of)?;
        if front == Front::Candidate && matches!(address, CheckAddress::Nowhere(_)) {
            return Ok(());
        }
        let host = target.host(&release.rendered);
        let context =
            CheckContext { address: &address, host: &host, allow_commands: self.settings.command_checks };
        let interrupt = self.worker(&rollout.deployment).interrupt;
        let impatient = self.newer_waits(rollout).await?;
        let clock = self.ports.clock.as_ref();
        let answer = tokio::select! {
            // Nothing was decided: the phase is checked again after the next start.
            () = self.stop.cancelled() => Err(Failed::Interrupted),
            answer = check::run_all(&checks, &context, clock, &interrupt, impatient) => answer,
        };
        match answer {
            Ok(()) => Ok(()),
            Err(Failed::Check(failure)) => {
                let last = failure.answers.last().cloned().unwrap_or_default();
                let side =
                    if front == Front::Candidate { "before it went live" } else { "through the front door" };
                Err(Stop::Failed(format!("the check {} failed {side}: {last}", failure.check), Some(failure)))
            }
            Err(Failed::GaveWay(failure)) => {
                let last = failure.answers.last().cloned().unwrap_or_default();
                let told = format!("the check {} fails and a newer rollout waits: {last}", failure.check);
                Err(Stop::GaveWay(told, failure))
            }
            Err(Failed::Interrupted) => Err(Stop::Interrupted),
        }
    }

    /// The checks of a release: its own, or the default of its type.
    pub(crate) async fn checks(
        &self,
        release: &Release,
        target: &dyn Target,
    ) -> Result<Vec<CheckSpec>, TargetError> {
        if !release.checks.is_empty() {
            return Ok(release.checks.clone());
        }
        let probe = target.default_probe(&release.rendered, &release.hash).await?;
        Ok(probe.into_iter().map(CheckSpec::new).collect())
    }
}
