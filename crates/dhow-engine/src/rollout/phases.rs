//! The phases of a rollout: steps, then the checks that belong to the phase.

use std::fmt::Write as _;
use std::sync::Arc;

use dhow_core::fleet::{CheckSpec, Probe};
use dhow_core::port::{CheckAddress, Front, Phase, Place, Rendered, Target, TargetError};
use dhow_core::rollout::{CheckFailure, End, Progress, Release, Rollout, State, Transition};
use futures::future::join_all;

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

impl Stop {
    /// What a person needs to know first, where several places end badly at once.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Fenced(_) => 0,
            Self::Engine(_) => 1,
            Self::Failed(..) => 2,
            Self::Blocked(_) => 3,
            Self::GaveWay(..) => 4,
            Self::Later(_) => 5,
            Self::Interrupted => 6,
        }
    }

    /// Its words, where they are for people.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Later(reason)
            | Self::Failed(reason, _)
            | Self::GaveWay(reason, _)
            | Self::Blocked(reason)
            | Self::Fenced(reason) => Some(reason),
            Self::Interrupted | Self::Engine(_) => None,
        }
    }
}

/// Why a phase ended at a place; a server is named.
pub(super) fn stop_at(rendered: &Rendered, place: &Place, error: TargetError) -> Stop {
    stop_of(error_at(rendered, place, error))
}

/// What went wrong at a place; a server is named.
pub(super) fn error_at(rendered: &Rendered, place: &Place, error: TargetError) -> TargetError {
    let named = |reason: String| match rendered.on(place).is_empty() || reason.starts_with(&place.to_string())
    {
        true => reason,
        false => format!("{place}: {reason}"),
    };
    match error {
        TargetError::Passing(reason) => TargetError::Passing(named(reason)),
        TargetError::Failed(reason) => TargetError::Failed(named(reason)),
        TargetError::Blocked(reason) => TargetError::Blocked(named(reason)),
        fenced @ TargetError::Fenced { .. } => fenced,
    }
}

/// What becomes of the other places of a rollout that fails; empty where there is one only.
fn elsewhere(rollout: &Rollout) -> String {
    let all: Vec<&Place> = rollout.turns.iter().flatten().collect();
    if all.len() < 2 {
        return String::new();
    }
    let of = |wanted: bool| {
        let places = all.iter().filter(|place| (rollout.at(place) == Progress::Old) == wanted);
        places.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut told = String::new();
    for (what, places) in [("taken back", of(false)), ("not touched", of(true))] {
        if !places.is_empty() {
            let _ = write!(told, "; {what}: {places}");
        }
    }
    told
}

fn stop_of(error: TargetError) -> Stop {
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
                let transition = match phase == Phase::Verifying && rollout.has_next_turn() {
                    true => Transition::NextPlaces,
                    false => Transition::Advance,
                };
                rollout.turn += usize::from(transition == Transition::NextPlaces);
                self.step_to(&held, &mut rollout, transition, None, Entry::new()).await?;
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
                let reason = format!("{reason}{}", elsewhere(&rollout));
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
        if rollout.turns.is_empty() {
            rollout.turns = self.turns(&release);
        }
        let _turn = match rollout.before {
            None => self.creations.acquire().await.ok(),
            Some(_) => None,
        };
        for places in rollout.turns_of(phase).to_vec() {
            self.do_steps(rollout, phase, &places, target.as_ref(), &context).await?;
            self.look_at(rollout, &release, target.as_ref(), phase, &places).await?;
        }
        if phase == Phase::Finishing {
            self.leave(rollout, &release, target.as_ref(), context.epoch).await?;
        }
        Ok(())
    }

    /// What a phase has to show at these places, once its steps are done.
    async fn look_at(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        phase: Phase,
        places: &[Place],
    ) -> Result<(), Stop> {
        let front = match phase {
            Phase::Checking => Front::Candidate,
            Phase::Verifying => Front::Door,
            Phase::Preparing | Phase::Switching | Phase::Finishing => return Ok(()),
        };
        let rendered = &release.rendered;
        let looks = places.iter().map(async |place| {
            self.check(rollout, release, target, place, front).await?;
            if front == Front::Candidate {
                return Ok(());
            }
            let verified = target.verify(rendered, &release.hash, place).await;
            verified.map_err(|error| stop_at(rendered, place, error))
        });
        let ended: Vec<Result<(), Stop>> = join_all(looks).await;
        ended.into_iter().filter_map(Result::err).min_by_key(Stop::rank).map_or(Ok(()), Err)
    }

    /// Removes it from the places where it ran before and does not run any more.
    async fn leave(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        epoch: u64,
    ) -> Result<(), Stop> {
        let Some(before) = &rollout.before else { return Ok(()) };
        let Some(before) = self.release(&rollout.deployment, before).await? else { return Ok(()) };
        for place in before.rendered.places.iter().filter(|place| !release.rendered.places.contains(place)) {
            let left = target.remove(&rollout.deployment, place, epoch).await;
            left.map_err(|error| stop_at(&before.rendered, place, error))?;
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
        let on = release.rendered.on(place);
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
                let told = format!("the check {} failed {side}{on}: {last}", failure.check);
                Err(Stop::Failed(told, Some(failure)))
            }
            Err(Failed::GaveWay(failure)) => {
                let last = failure.answers.last().cloned().unwrap_or_default();
                let told = format!("the check {} fails{on} and a newer rollout waits: {last}", failure.check);
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
