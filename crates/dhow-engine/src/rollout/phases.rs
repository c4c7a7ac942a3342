//! The phases of a rollout: steps, then the checks that belong to the phase.

use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{CheckSpec, Probe};
use dhow_core::port::{CheckAddress, Front, Phase, Place, Rendered, Target, TargetError};
use dhow_core::rollout::{CheckFailure, LeftBehind, Release, Rollout, State, Transition};
use futures::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::turn_back::Back;
use super::{Turn, asks_servers};
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
pub(crate) fn error_at(rendered: &Rendered, place: &Place, error: TargetError) -> TargetError {
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

/// Longest time that a place may take for a phase of a way back, where there are others.
const ALONE: Duration = Duration::from_secs(300);

/// The places that a rollout does not go on without.
fn still(rollout: &Rollout, places: Vec<Place>) -> Vec<Place> {
    places.into_iter().filter(|place| !rollout.is_behind(place)).collect()
}

/// Each place of this rollout is by itself.
pub(super) fn each_alone(rollout: &Rollout) -> bool {
    rollout.is_rollback && rollout.turns.iter().flatten().count() > 1
}

/// Work at one place of a rollout. On a way back each is by itself: one that hangs holds the others up for a time only.
pub(super) async fn limited(
    alone: bool,
    place: &Place,
    work: impl Future<Output = Result<(), Stop>>,
) -> Result<(), Stop> {
    if !alone {
        return work.await;
    }
    let ended = tokio::time::timeout(ALONE, work).await;
    ended.unwrap_or_else(|_| Err(Stop::Later(format!("{place}: no answer within {} s", ALONE.as_secs()))))
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
        if rollout.state != State::Finishing && self.turn_back(&mut rollout, Back::Asked).await? {
            return Ok(Turn::On);
        }
        let Some(phase) = rollout.state.phase() else { return Ok(Turn::Rest) };
        let stop = match self.phase(&mut rollout, phase).await {
            Ok(()) if phase == Phase::Finishing => return self.succeed(rollout).await,
            Ok(()) => {
                let held = self.lock(&rollout).await;
                // Whoever asked while this waited for the lock is heard before it goes on.
                if self.is_asked_to_stop(&rollout).await? {
                    return Ok(Turn::On);
                }
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
                self.step_down();
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
                if self.turn_back(&mut rollout, Back::GaveWay(told, None)).await? {
                    return Ok(Turn::On);
                }
                self.tell(&mut rollout, &reason).await?;
                Ok(Turn::Retry)
            }
            Stop::GaveWay(reason, failure) => {
                self.turn_back(&mut rollout, Back::GaveWay(reason, Some(failure))).await?;
                Ok(Turn::On)
            }
            Stop::Failed(reason, failure) => {
                self.turn_back(&mut rollout, Back::Failed(reason, failure)).await?;
                Ok(Turn::On)
            }
        }
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
            if rollout.before.is_none() && asks_servers(&release.rendered.places) && !rollout.steps.is_empty()
            {
                // Now its turn can be waited for.
                return Err(Stop::Interrupted);
            }
        }
        if rollout.turns.is_empty() {
            rollout.turns = self.turns(&release);
        }
        if phase == Phase::Finishing {
            self.leave(rollout, &release, target.as_ref()).await?;
        }
        let all = &release.rendered.places;
        for places in rollout.turns_of(phase).to_vec() {
            let places = still(rollout, places);
            let ended = self.do_steps(rollout, phase, &places, target.as_ref(), &context).await;
            self.go_on_without(rollout, all, ended).await?;
            let places = still(rollout, places);
            let ended = self.look_at(rollout, &release, target.as_ref(), phase, &places).await;
            self.go_on_without(rollout, all, ended).await?;
        }
        Ok(())
    }

    /// What it means that places did not come to the end of a phase. Whatever goes back leaves those behind that do not
    /// answer, as long as one answers: they follow when they do.
    pub(super) async fn go_on_without(
        &self,
        rollout: &mut Rollout,
        all: &[Place],
        failed: Vec<(Place, Stop)>,
    ) -> Result<(), Stop> {
        let Some((_, worst)) = failed.iter().min_by_key(|(_, stop)| stop.rank()) else { return Ok(()) };
        let waits = |stop: &Stop| matches!(stop, Stop::Later(_) | Stop::Blocked(_));
        let stays = |place: &Place| rollout.is_behind(place) || failed.iter().any(|(at, _)| at == place);
        let goes_on = rollout.is_rollback
            && (waits(worst) || matches!(worst, Stop::Interrupted))
            && failed.iter().all(|(_, stop)| waits(stop))
            && !all.iter().all(stays);
        if !goes_on {
            let worst = failed.into_iter().map(|(_, stop)| stop).min_by_key(Stop::rank);
            return worst.map_or(Ok(()), Err);
        }
        for (place, stop) in failed {
            let reason = stop.reason().unwrap_or_default().to_owned();
            tracing::warn!(deployment = %rollout.deployment, %place, reason, "the way back goes on without it");
            rollout.behind.push(LeftBehind { place, reason });
        }
        let mut entry = Entry::new();
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }

    /// What a phase has to show at these places, once its steps are done. The answer: those that do not show it.
    async fn look_at(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        phase: Phase,
        places: &[Place],
    ) -> Vec<(Place, Stop)> {
        let front = match phase {
            Phase::Checking => Front::Candidate,
            Phase::Verifying => Front::Door,
            Phase::Preparing | Phase::Switching | Phase::Finishing => return Vec::new(),
        };
        let rendered = &release.rendered;
        // One word ends the checks of all places.
        let interrupted = CancellationToken::new();
        let looks = join_all(places.iter().map(async |place| {
            let looked = async {
                self.check(rollout, release, target, (place, front), &interrupted).await?;
                if front == Front::Candidate {
                    return Ok(());
                }
                let verified = target.verify(rendered, &release.hash, place).await;
                verified.map_err(|error| stop_at(rendered, place, error))
            };
            let ended: Result<(), Stop> = limited(each_alone(rollout), place, looked).await;
            ended.err().map(|stop| (place.clone(), stop))
        }));
        let interrupt = self.worker(&rollout.deployment).interrupt;
        let word = async {
            interrupt.notified().await;
            interrupted.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            biased;
            () = word => Vec::new(),
            ended = looks => ended,
        };
        ended.into_iter().flatten().collect()
    }

    async fn check(
        &self,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        (place, front): (&Place, Front),
        interrupted: &CancellationToken,
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
        let impatient = self.newer_waits(rollout).await?;
        let clock = self.ports.clock.as_ref();
        // The word that ends all of them comes by the token.
        let nobody = Notify::new();
        let answer = tokio::select! {
            // Nothing was decided: the phase is checked again after the next start.
            () = self.stop.cancelled() => Err(Failed::Interrupted),
            () = interrupted.cancelled() => Err(Failed::Interrupted),
            answer = check::run_all(&checks, &context, clock, &nobody, impatient) => answer,
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
