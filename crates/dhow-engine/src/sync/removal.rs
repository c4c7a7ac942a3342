//! Removal: a folder that went is a deployment to be removed, under a guard (design section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::diagnostic::Severity;
use dhow_core::noun::{DeploymentId, EnvironmentName, PersonName};
use dhow_core::port::{Place, Scan, StoreExt as _, TargetError};
use dhow_core::rollout::{
    Ask, Debt, DeploymentRow, End, Event, Owed, Release, Removal, StopRequest, Unclear,
};
use futures::future::join_all;

use super::Removals;
use super::authors::Authors;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::rollout::leave;
use crate::update::propose::Question;
use crate::view::View;

impl Inner {
    /// Begins to remove what the fleet does not have any more, unless it is too much at once.
    pub(super) async fn sync_removals(
        self: &Arc<Self>,
        removals: &Removals,
        view: &View,
        authors: &Authors,
    ) -> Result<(), EngineError> {
        if view.fleet.broken_root {
            return Ok(());
        }
        let (known, gone) = match removals {
            Removals::None => return Ok(()),
            // What could not be read before may have been more than it seems.
            Removals::Since(before)
                if before.iter().all(|b| !b.fleet.broken_root && b.fleet.broken_services.is_empty()) =>
            {
                gone_since(before, view)
            }
            _ => self.gone_of_all(view).await?,
        };
        let (mut rows, mut wait) = (Vec::new(), Vec::new());
        for id in gone {
            let row = self.row(&id).await?;
            // A folder that is there with an error in it may hold it still, under another type.
            if row.removal.is_none() && !cannot_be_read(view, &row.folder) {
                rows.push(row);
            } else if row.removal == Some(Removal::Waits) {
                // It may be of the same commit: after a crash among its deployments, the rest is not a few by itself.
                wait.push(id);
            }
        }
        let gone: Vec<DeploymentId> = rows.iter().map(|row| row.id.clone()).collect();
        let stalled = too_much(&known, &gone, &wait, view);
        for DeploymentRow { id, folder, .. } in rows {
            let before = match removals {
                Removals::Since(before) => before.as_slice(),
                Removals::None | Removals::All => &[],
            };
            let mut wrote = authors.of_folder(&folder, &id.service);
            for deployment in before.iter().filter_map(|view| view.fleet.deployments.get(&id)) {
                wrote.extend(authors.of(deployment).people);
            }
            match stalled.get(&id.environment) {
                Some(reason) => self.stall_removal(&id, reason, wrote).await?,
                None => self.begin_removal(&id, wrote).await?,
            }
        }
        Ok(())
    }

    /// Every deployment that is stored, and those of them that the fleet does not have.
    async fn gone_of_all(&self, view: &View) -> Result<(Vec<DeploymentId>, Vec<DeploymentId>), EngineError> {
        let rows: Vec<DeploymentRow> = self.ports.store.list(Scan::default()).await?;
        let known: Vec<DeploymentId> = rows.into_iter().map(|r| r.id).collect();
        let gone = known.iter().filter(|id| is_gone(view, id)).cloned().collect();
        Ok((known, gone))
    }

    async fn stall_removal(
        &self,
        id: &DeploymentId,
        reason: &str,
        authors: BTreeSet<PersonName>,
    ) -> Result<(), EngineError> {
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        if !self.is_gone_now(id) {
            // It came back meanwhile, and is compared next.
            return Ok(());
        }
        self.end_what_waits(&held, id).await?;
        let mut row = self.row(id).await?;
        let told = format!("{reason}; `dhow sync {} {}` removes this one", id.service, id.environment);
        tracing::warn!(deployment = %id, reason, "a removal waits for a person");
        row.removal = Some(Removal::Waits);
        row.waiting_for = Some(told.clone());
        row.authors.extend(authors);
        let mut entry = Entry::new();
        entry.event(Event::RemovalStalled { deployment: id.clone(), reason: told });
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    /// What waits to be rolled out of a deployment that left the fleet does not begin any more, and nobody is asked about
    /// it. A way back does.
    async fn end_what_waits(&self, held: &Held, id: &DeploymentId) -> Result<(), EngineError> {
        let open = self.open_rollouts(id).await?;
        if !open.last().is_some_and(|newest| newest.state.is_waiting() && !newest.is_rollback) {
            return Ok(());
        }
        let mut row = self.row(id).await?;
        let mut entry = Entry::new();
        self.supersede_waiting(held, &mut row, &mut entry).await?;
        self.close_questions(held, &[(id.clone(), None)], &mut entry).await?;
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Removes a deployment, after the environment's approvals. Its data stays.
    pub(crate) async fn begin_removal(
        self: &Arc<Self>,
        id: &DeploymentId,
        authors: BTreeSet<PersonName>,
    ) -> Result<(), EngineError> {
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let view = self.view()?;
        if !is_gone(&view, id) {
            // It came back meanwhile, and is compared next.
            return Ok(());
        }
        let gates = self.gates(&view, &id.environment);
        self.end_what_waits(&held, id).await?;
        let mut row = self.row(id).await?;
        if matches!(row.removal, Some(Removal::Going | Removal::Owed)) {
            return Ok(());
        }
        row.authors.extend(authors);
        let hash = row.running.or(row.desired);
        let mut entry = Entry::new();
        let (Some(_), Some(hash)) = (gates.effective_approvals(), hash) else {
            self.stage_removal(&mut row, &mut entry).await?;
            self.journal.write(entry).await?;
            self.set_off(id);
            return Ok(());
        };
        row.removal = Some(Removal::Asked);
        row.waiting_for =
            Some(format!("approval of its removal: `dhow approve {} {}`", id.service, id.environment));
        entry.put(&row)?;
        let mut hashes = BTreeMap::from([(id.clone(), hash)]);
        let mut authors = row.authors;
        for open in self.open_proposals(&id.service, &id.environment).await? {
            if matches!(open.ask, Ask::Removal) {
                hashes.extend(open.hashes);
                authors.extend(open.authors);
            }
        }
        let question = Question {
            scope: (id.service.clone(), id.environment.clone()),
            ask: Ask::Removal,
            summary: hashes.keys().map(|id| format!("remove {id}; its data stays")).collect(),
            hashes,
            authors,
        };
        self.ask(&held, question, &BTreeSet::new(), entry).await?;
        Ok(())
    }

    /// Adds to an entry that a deployment is to be removed; its worker does it, after what runs has ended.
    pub(crate) async fn stage_removal(
        &self,
        row: &mut DeploymentRow,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        row.removal = Some(Removal::Going);
        row.waiting_for = None;
        // What somebody else changed of it is not brought back any more: that would outlive the removal.
        row.mend = None;
        let open = self.open_rollouts(&row.id).await?;
        if let Some(active) = open.iter().find(|r| !r.state.is_waiting()) {
            row.stop = Some(StopRequest {
                rollout: active.number,
                end: End::Removed,
                reason: "its folder was removed from the fleet".into(),
            });
        }
        entry.event(Event::RemovalStarted { deployment: row.id.clone() }).put(row)?;
        Ok(())
    }

    /// Removes a deployment from where it runs. Called by its worker when no rollout of it runs. The places that do not
    /// answer owe it from then on, and the worker has no more to do with it.
    pub(crate) async fn remove_now(self: &Arc<Self>, id: &DeploymentId) -> Result<(), EngineError> {
        let mut places = self.places(id).await?;
        places.extend(self.row(id).await?.debts.into_iter().map(|debt| debt.place));
        let tried = places.iter().map(async |place| {
            // What no target runs was never there.
            let target = self.target(id.target)?;
            let error = self.clear(id, place, target.as_ref(), leave::LIMIT).await.err()?;
            Some((place.clone(), error))
        });
        let failed: Vec<(Place, TargetError)> = join_all(tried).await.into_iter().flatten().collect();
        if let Some((_, fenced)) =
            failed.iter().find(|(_, error)| matches!(error, TargetError::Fenced { .. }))
        {
            tracing::error!(deployment = %id, reason = %fenced, "this dhow stops");
            self.step_down();
            return Err(EngineError::Refused(fenced.to_string()));
        }
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        let mut entry = Entry::new();
        for place in &places {
            let Some((_, error)) = failed.iter().find(|(at, _)| at == place) else {
                self.stage_settled(&held, &mut row, place, &mut entry);
                continue;
            };
            let debt = Debt {
                place: place.clone(),
                owes: Owed::Removal,
                runs: row.running,
                since_ms: self.now_ms(),
                error: error.to_string(),
            };
            self.stage_debt(&held, &mut row, debt, &mut entry).await?;
        }
        let debts = row.debts.clone();
        if debts.is_empty() || !self.is_gone_now(id) {
            self.stage_gone(&held, &mut row, &mut entry).await?;
        } else {
            row.removal = Some(Removal::Owed);
            let told: Vec<String> =
                debts.iter().map(|debt| format!("{}: {}", debt.place, debt.error)).collect();
            row.reason = Some(format!("it could not be removed everywhere: {}", told.join("; ")));
            row.waiting_for = None;
            self.supersede_waiting(&held, &mut row, &mut entry).await?;
            self.close_questions(&held, &[(id.clone(), None)], &mut entry).await?;
            entry.put(&row)?;
        }
        self.journal.write(entry).await?;
        drop(held);
        self.forget(id);
        self.collect_all(id, &debts);
        Ok(())
    }

    fn is_gone_now(&self, id: &DeploymentId) -> bool {
        self.view().map_or(true, |view| is_gone(&view, id))
    }

    /// Adds to an entry that a deployment is removed, and nothing is known of it any more. Where it came back to the fleet
    /// meanwhile, what was removed is to be created again; what places owe stays then.
    pub(crate) async fn stage_gone(
        &self,
        held: &Held,
        row: &mut DeploymentRow,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let id = &row.id.clone();
        self.supersede_waiting(held, row, entry).await?;
        self.close_questions(held, &[(id.clone(), None)], entry).await?;
        self.stage_end_of_hold(held, id, entry).await?;
        let gone = self.is_gone_now(id);
        if gone && !row.debts.is_empty() {
            // It went once more: what places owe of it is known until they have paid.
            row.removal = Some(Removal::Owed);
            entry.put(row)?;
            return Ok(());
        }
        if gone {
            for release in self.releases(id).await? {
                entry.remove::<Release>(dhow_core::port::Record::key(&release));
            }
            entry.event(Event::Removed { deployment: id.clone() });
            entry.remove::<DeploymentRow>(id.to_string());
            return Ok(());
        }
        let new = DeploymentRow::new(id.clone(), self.now_ms());
        let (debts, authors) = (std::mem::take(&mut row.debts), std::mem::take(&mut row.authors));
        *row = DeploymentRow { unclear: Some(Unclear::ForNow), debts, authors, ..new };
        entry.put(row)?;
        self.fleet_nudge.notify_one();
        Ok(())
    }

    /// Where a deployment runs, as its last releases say; this machine where nothing is known.
    pub(crate) async fn places(&self, id: &DeploymentId) -> Result<BTreeSet<Place>, EngineError> {
        let releases = self.releases(id).await?;
        let mut places: BTreeSet<Place> =
            releases.into_iter().flat_map(|release| release.rendered.places).collect();
        if places.is_empty() {
            places.insert(Place::Local);
        }
        Ok(places)
    }
}

/// The deployments of views, and those of them that a later one does not have.
fn gone_since(before: &[Arc<View>], view: &View) -> (Vec<DeploymentId>, Vec<DeploymentId>) {
    let fleets = before.iter().map(|view| &view.fleet);
    let known = fleets.flat_map(|fleet| fleet.deployments.keys().chain(fleet.broken.keys()));
    let known: BTreeSet<DeploymentId> = known.cloned().collect();
    let gone = known.iter().filter(|id| is_gone(view, id)).cloned().collect();
    (known.into_iter().collect(), gone)
}

/// What cannot be read is never taken for removed.
pub(crate) fn is_gone(view: &View, id: &DeploymentId) -> bool {
    !(view.fleet.deployments.contains_key(id)
        || view.fleet.broken.contains_key(id)
        || view.fleet.broken_services.contains(&id.service)
        || view.fleet.templates.contains_key(id))
}

/// Whether an error was found in a folder that is still there.
fn cannot_be_read(view: &View, folder: &str) -> bool {
    let below = format!("{folder}/");
    let mut errors = view.fleet.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    !folder.is_empty() && errors.any(|d| d.file == folder || d.file.starts_with(&below))
}

/// The environments in which too much would go at once, with the reason: more than 5 deployments and more than 10 % of
/// an environment, or all of its two or more. What waits for a word already counts, and is told apart.
fn too_much(
    known: &[DeploymentId],
    gone: &[DeploymentId],
    wait: &[DeploymentId],
    view: &View,
) -> BTreeMap<EnvironmentName, String> {
    let count = |ids: &[DeploymentId]| {
        let mut counts: BTreeMap<EnvironmentName, usize> = BTreeMap::new();
        for id in ids {
            *counts.entry(id.environment.clone()).or_default() += 1;
        }
        counts
    };
    let (had, goes, waits) = (count(known), count(gone), count(wait));
    let of = |counts: &BTreeMap<_, usize>, environment: &EnvironmentName| {
        counts.get(environment).copied().unwrap_or_default()
    };
    let commit = view.commit.short();
    let reason = |environment: &EnvironmentName, new: usize| {
        let (total, before) = (of(&had, environment), of(&waits, environment));
        let all = new + before;
        let many = all > 5 && all * 10 > total;
        let all_of_several = all == total && total >= 2;
        let told = format!("commit {commit} removes {new} of {total} deployments of {environment}");
        (many || all_of_several).then(|| match before {
            0 => told,
            _ => format!("{told}, and {before} that were removed before wait still"),
        })
    };
    goes.iter().filter_map(|(e, new)| reason(e, *new).map(|told| (e.clone(), told))).collect()
}
