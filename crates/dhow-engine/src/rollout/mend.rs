//! What runs was changed without us (a container killed by hand, a link that was moved): it is brought back to its
//! release. No gate binds it, as nothing new comes.

use std::sync::Arc;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Context, Phase, Place, Step, Target, TargetError};
use dhow_core::rollout::{DeploymentRow, Event, Mend, Release};
use futures::future::join_all;

use super::Turn;
use super::phases::error_at;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

/// How often one mending is tried before a person is asked.
const MAX_TRIES: u32 = 5;
/// What breaks again this often within [`WITHIN_MS`] is left to a person.
const MAX_MENDS: usize = 3;
/// Ten minutes.
const WITHIN_MS: i64 = 600_000;

impl Inner {
    /// Asks a row's worker to bring back what somebody else changed, where that is ours to do: the release was healthy, and
    /// was not brought back too often of late. True: it will be, once the row is stored and the deployment kicked.
    ///
    /// A hold is no reason against it: it says what is not rolled out, and this runs, as nothing else could.
    pub(crate) fn stage_mend(
        &self,
        _held: &Held,
        row: &mut DeploymentRow,
        reason: &str,
        entry: &mut Entry,
    ) -> bool {
        let proven = row.running.is_some() && row.healthy_release == row.running;
        if !proven || row.mend.is_some() || row.mend_left || row.removal.is_some() {
            return false;
        }
        let id = &row.id;
        let since = self.now_ms() - WITHIN_MS;
        row.mended_ms.retain(|at| *at > since);
        if row.mended_ms.len() >= MAX_MENDS {
            let told = format!(
                "a person: it was brought back {MAX_MENDS} times within 10 minutes and changed again; \
                 `dhow sync {} {}` brings it back once more",
                id.service, id.environment
            );
            row.leave_mend(told);
            return false;
        }
        tracing::warn!(deployment = %id, reason, "what runs was changed without dhow; it is brought back");
        entry.event(Event::MendStarted { deployment: id.clone(), reason: reason.to_owned() });
        row.mend = Some(Mend { reason: reason.to_owned(), tries: 0 });
        true
    }

    /// Brings a deployment back to the release that it should run. Called by its worker when no rollout of it runs; a
    /// crash leaves the request in the row, and the next start looks at the world anew.
    pub(super) async fn mend_now(self: &Arc<Self>, id: &DeploymentId) -> Result<Turn, EngineError> {
        let row = self.row(id).await?;
        let release = match &row.running {
            Some(running) => self.release(id, running).await?,
            None => None,
        };
        let ended = match &release {
            Some(release) => self.bring_back(release, row.rollout.unwrap_or_default()).await?,
            None => Err(TargetError::Failed("the release that ran is not stored any more".into())),
        };
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        let mut entry = Entry::new();
        let turn = self.mended(&held, &mut row, ended, &mut entry);
        entry.put(&row)?;
        self.journal.write(entry).await?;
        drop(held);
        if turn == Turn::On {
            self.look_at_health(id);
        }
        Ok(turn)
    }

    /// What the end of a mending means for its row.
    fn mended(
        &self,
        _held: &Held,
        row: &mut DeploymentRow,
        ended: Result<(), TargetError>,
        entry: &mut Entry,
    ) -> Turn {
        let Some(mend) = &mut row.mend else { return Turn::On };
        let deployment = row.id.clone();
        let error = match ended {
            Ok(()) => {
                row.mend = None;
                row.mended_ms.push(self.now_ms());
                entry.event(Event::MendDone { deployment });
                return Turn::On;
            }
            Err(fenced @ TargetError::Fenced { .. }) => {
                tracing::error!(%deployment, reason = %fenced, "this dhow stops");
                self.step_down();
                return Turn::Rest;
            }
            Err(error) => error,
        };
        mend.tries += 1;
        let reason = format!("bringing it back failed: {error}");
        if row.reason.as_ref() != Some(&reason) {
            entry.event(Event::MendFailed { deployment, reason: reason.clone() });
            row.reason = Some(reason);
        }
        // What may come by itself is waited for.
        if mend.tries < MAX_TRIES || matches!(error, TargetError::Passing(_)) {
            return Turn::Retry;
        }
        row.mend = None;
        row.leave_mend(format!(
            "a person: bringing it back failed {MAX_TRIES} times ({error}); `dhow sync {} {}` tries again",
            row.id.service, row.id.environment
        ));
        Turn::On
    }

    /// Plans from what runs now to the release, and does it. Every step may be done again.
    async fn bring_back(
        self: &Arc<Self>,
        release: &Release,
        rollout: u64,
    ) -> Result<Result<(), TargetError>, EngineError> {
        let (target, context) = self.context_of(release, rollout).await?;
        // One place that does not answer holds up no other. What owes something is brought back by that.
        let row = self.row(&release.deployment).await?;
        let places = release.rendered.places.iter().filter(|place| row.debt(place).is_none());
        let ended = places.map(async |place| {
            let ended = bring_back_at(target.as_ref(), release, &context, place).await;
            ended.map_err(|error| error_at(&release.rendered, place, error))
        });
        let failed = join_all(ended).await.into_iter().filter_map(Result::err);
        // What passes by itself says the least.
        Ok(failed.min_by_key(|error| matches!(error, TargetError::Passing(_))).map_or(Ok(()), Err))
    }
}

/// Plans from what runs at a place to a release, and does it. Every step may be done again.
pub(super) async fn bring_back_at(
    target: &dyn Target,
    release: &Release,
    context: &Context,
    place: &Place,
) -> Result<(), TargetError> {
    let rendered = &release.rendered;
    let observed = target.observe(rendered, place).await?;
    let mut steps: Vec<Step> = target.plan(rendered, &release.hash, place, &observed);
    steps.sort_by_key(|step| step.phase);
    for step in steps.iter().filter(|step| step.phase != Phase::Finishing) {
        target.execute(step, context).await?;
    }
    target.verify(rendered, &release.hash, place).await?;
    for step in steps.iter().filter(|step| step.phase == Phase::Finishing) {
        target.execute(step, context).await?;
    }
    Ok(())
}
