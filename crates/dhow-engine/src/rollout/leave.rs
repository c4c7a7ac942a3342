//! Leaving: a release that names fewer places than the one before is removed from those, once the others run.

use std::time::Duration;

use dhow_core::fleet::DesiredHash;
use dhow_core::port::{Place, Target, TargetError};
use dhow_core::rollout::{Debt, DeploymentRow, LeftBehind, Owed, Release, Rollout};
use futures::future::join_all;

use super::phases::{Stop, error_at};
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

/// How long a place may take to be cleared before it owes it.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

impl Inner {
    /// Removes it from the places where it ran before and does not run any more; once. What does not answer is noted, and
    /// owes it when the rollout is at its end.
    pub(super) async fn leave(
        &self,
        rollout: &mut Rollout,
        release: &Release,
        target: &dyn Target,
    ) -> Result<(), Stop> {
        if rollout.not_left.is_some() {
            return Ok(());
        }
        let places = self.places_to_leave(rollout, release).await?;
        let tried = places.iter().map(async |place| {
            let ended = self.clear(&release.deployment, place, target, LIMIT).await;
            ended.err().map(|error| (place, error))
        });
        let mut not_left = Vec::new();
        for (place, error) in join_all(tried).await.into_iter().flatten() {
            let error = error_at(&release.rendered, place, error);
            if matches!(error, TargetError::Fenced { .. }) {
                return Err(Stop::Fenced(error.to_string()));
            }
            not_left.push(LeftBehind { place: place.clone(), reason: error.to_string() });
        }
        rollout.not_left = Some(not_left);
        if places.is_empty() {
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.put(rollout)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Removes a deployment from one place, within a time; nothing else is done to it there meanwhile.
    pub(crate) async fn clear(
        &self,
        id: &dhow_core::noun::DeploymentId,
        place: &Place,
        target: &dyn Target,
        limit: Duration,
    ) -> Result<(), TargetError> {
        let removed = async {
            let _effects = self.effects.lock(&(id.clone(), place.clone())).await;
            target.remove(id, place, self.lease.epoch).await
        };
        tokio::time::timeout(limit, removed).await.unwrap_or_else(|_| {
            Err(TargetError::Passing(format!("{place} did not answer within {} s", limit.as_secs())))
        })
    }

    async fn places_to_leave(&self, rollout: &Rollout, release: &Release) -> Result<Vec<Place>, EngineError> {
        let Some(before) = &rollout.before else { return Ok(Vec::new()) };
        let Some(before) = self.release(&rollout.deployment, before).await? else { return Ok(Vec::new()) };
        let mut places = before.rendered.places;
        places.retain(|place| !release.rendered.places.contains(place));
        Ok(places)
    }

    /// Adds to an entry what places owe once a rollout is through, and that the others owe nothing any more. The answer:
    /// what is told of those that should run its release and do not.
    pub(super) async fn stage_debts_of(
        &self,
        held: &Held,
        rollout: &Rollout,
        row: &mut DeploymentRow,
        entry: &mut Entry,
    ) -> Result<String, EngineError> {
        let Some(release) = self.release(&rollout.deployment, &rollout.hash).await? else {
            return Ok(String::new());
        };
        let debt = |left: &LeftBehind, owes: Owed, runs: Option<DesiredHash>| Debt {
            place: left.place.clone(),
            owes,
            runs,
            since_ms: self.now_ms(),
            error: left.reason.clone(),
        };
        let mut told = String::new();
        for place in &release.rendered.places {
            let behind = rollout.behind.iter().find(|left| left.place == *place);
            match (behind, row.debt(place)) {
                (None, _) => self.stage_settled(held, row, place, entry),
                (Some(_), Some(Debt { owes: Owed::Undo { .. } | Owed::Release, .. })) => {}
                (Some(left), _) => {
                    let runs =
                        rollout.before.filter(|_| rollout.at(place) == dhow_core::rollout::Progress::Old);
                    told.push_str(&self.stage_debt(held, row, debt(left, Owed::Release, runs), entry).await?);
                }
            }
        }
        let untried = |place: Place| LeftBehind { place, reason: "it was not tried yet".into() };
        for place in self.places_to_leave(rollout, &release).await? {
            let left = match &rollout.not_left {
                Some(not_left) => not_left.iter().find(|left| left.place == place).cloned(),
                None => Some(untried(place.clone())),
            };
            match left {
                None => self.stage_settled(held, row, &place, entry),
                Some(left) => {
                    let debt = debt(&left, Owed::Removal, rollout.before);
                    self.stage_debt(held, row, debt, entry).await?;
                }
            }
        }
        Ok(told)
    }
}
