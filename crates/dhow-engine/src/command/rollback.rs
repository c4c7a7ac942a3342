//! rollback: to any earlier release, by command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, Pin, ServiceName};
use dhow_core::port::{Context, Rendered, StoreExt as _, TargetError};
use dhow_core::report::RollbackTo;
use dhow_core::rollout::{DeploymentRow, Hold, HoldReason, Release, Rollout, UpdateRow, Why};

use futures::future::join_all;

use super::going_back::Move;
use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;
use crate::sync::files_hash;
use crate::view::Scope;

/// How long each of several places may take to get all that it needs; what takes longer is brought by the rollout.
const BRING: Duration = Duration::from_secs(60);

impl Engine {
    /// Goes back: everything is brought to its place first, then the hold is set, then what ran then runs again, and
    /// the fleet gets the edit. Nothing up to the version that is left is selected until something newer comes, or
    /// `resume`.
    ///
    /// Errors: `NotFound` where there is no such release, with those that there are; `Refused` where something of it
    /// cannot be had any more. Nothing is held or changed then.
    pub async fn rollback(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        to: &RollbackTo,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let scope = (service.clone(), environment.clone());
        let moves = inner.find_moves(&scope, to).await?;
        let mut mixed = BTreeMap::new();
        let mut silent = BTreeSet::new();
        for (id, release) in &moves {
            mixed.insert(id.clone(), inner.bring(id, release, &mut silent).await?);
        }
        let held = inner.scopes.lock(&scope).await;
        let releases: Vec<String> = moves.iter().map(|(id, r)| format!("{id} to {}", describe(r))).collect();
        let mut told = format!("going back: {}", releases.join(", "));
        if *to == RollbackTo::Previous && inner.all_run(&moves).await? {
            told = format!(
                "already back: {}; to go further back, name a release with --to",
                releases.join(", ")
            );
        }
        for reason in silent {
            told.push_str(&format!("; {reason}: it follows when it answers"));
        }
        let outcome = Outcome::new(told);
        if inner.goes_back(actor, &scope, (&moves, &mixed)).await? {
            return Ok(outcome);
        }
        let mut entry = Entry::new();
        inner.stage_going_back(&held, actor, &scope, (&moves, &mixed), &mut entry).await?;
        inner.journal.write(entry).await?;
        drop(held);
        moves.iter().for_each(|(id, _)| inner.set_off(id));
        inner.hurry();
        inner.select_downstream(service, environment);
        Ok(outcome)
    }
}

/// A release for people: its versions, else its first digits.
pub(crate) fn describe(release: &Release) -> String {
    let tags: Vec<String> = release
        .rendered
        .pins
        .iter()
        .map(|(a, p)| format!("{a} {}", p.tag.as_ref().map_or_else(|| p.digest.short(), ToString::to_string)))
        .collect();
    if tags.is_empty() { release.hash.short() } else { tags.join(", ") }
}

/// Whether two releases agree about every artifact that both have.
fn agree(one: &Release, other: &Release) -> bool {
    let pins = &other.rendered.pins;
    one.rendered.pins.iter().all(|(a, pin)| pins.get(a).is_none_or(|p| p.digest == pin.digest))
}

impl Inner {
    /// The release that each deployment of a service goes back to: they agree about their versions.
    async fn find_moves(self: &Arc<Self>, scope: &Scope, to: &RollbackTo) -> Result<Vec<Move>, EngineError> {
        let view = self.view()?;
        let mut moves: Vec<Move> = Vec::new();
        for id in view.deployments_of(&scope.0, &scope.1) {
            let mut releases = self.releases(&id).await?;
            releases.retain(|r| r.healthy_at_ms.is_some());
            releases.sort_by_key(|r| std::cmp::Reverse(r.healthy_at_ms));
            if releases.is_empty() {
                continue;
            }
            let agrees = |r: &&Release| moves.iter().all(|(_, other)| agree(r, other));
            let found = match to {
                RollbackTo::Previous if moves.is_empty() => self.previous(&id, &releases).await?,
                RollbackTo::Previous => releases.iter().find(agrees).cloned(),
                RollbackTo::Version(text) => releases.iter().find(|r| names(r, text) && agrees(r)).cloned(),
            };
            let Some(release) = found else {
                let known: Vec<String> = releases.iter().map(describe).collect();
                return Err(EngineError::NotFound(format!(
                    "{id} has no such release; it can go back to: {}",
                    known.join("; ")
                )));
            };
            moves.push((id, release));
        }
        if moves.is_empty() {
            return Err(EngineError::NotFound(format!("nothing of {} in {} can go back", scope.0, scope.1)));
        }
        Ok(moves)
    }

    /// The newest healthy release that does not run, and that nobody left or quarantined. Asked again, it is the same:
    /// one further back needs a name.
    async fn previous(
        &self,
        id: &DeploymentId,
        releases: &[Release],
    ) -> Result<Option<Release>, EngineError> {
        let row = self.row(id).await?;
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let left = |pins: &BTreeMap<ArtifactName, Pin>| {
            let up_to = hold.as_ref().map(|h| &h.up_to);
            up_to.is_some_and(|up_to| {
                pins.iter().any(|(a, p)| up_to.get(a).is_some_and(|l| l.digest == p.digest))
            })
        };
        let open = self.open_rollouts(id).await?;
        // Whoever asks again, after being cut off or beside somebody else, means the way back that was asked for.
        let by_command = hold.as_ref().is_some_and(|h| h.reason == HoldReason::RolledBackByCommand);
        if by_command && let Some(asked) = self.last_way_back(&row, &open).await? {
            return Ok(releases.iter().find(|r| r.hash == asked).cloned());
        }
        let under_way = open.iter().find(|r| !r.state.is_waiting() && !r.is_rollback);
        // With a newer one under way, the one before it is what runs, or what ran when it began.
        if let Some(before) = under_way.and_then(|r| r.before)
            && let Some(release) = releases.iter().find(|r| r.hash == before)
        {
            return Ok(Some(release.clone()));
        }
        for release in releases {
            if Some(release.hash) == row.running || left(&release.rendered.pins) {
                continue;
            }
            let mut quarantined = false;
            for pin in release.rendered.pins.values() {
                quarantined |= self.is_quarantined(&id.service, &id.environment, pin).await?;
            }
            if !quarantined {
                return Ok(Some(release.clone()));
            }
        }
        Ok(None)
    }

    /// The release of a way back that is under way, or that was the last to be rolled out and runs.
    async fn last_way_back(
        &self,
        row: &DeploymentRow,
        open: &[Rollout],
    ) -> Result<Option<DesiredHash>, EngineError> {
        let last = match open.iter().find(|r| r.is_rollback && r.end.is_none()) {
            Some(under_way) => return Ok(Some(under_way.hash)),
            None if open.is_empty() => row.rollout,
            None => None,
        };
        let Some(number) = last else { return Ok(None) };
        let last: Option<Rollout> = self.ports.store.load(&Rollout::key_of(&row.id, number)).await?;
        Ok(last.filter(|r| r.is_rollback && row.running == Some(r.hash)).map(|r| r.hash))
    }

    /// Brings all that a release needs to its places, before anything is held, and says what it would be with the files
    /// of now: that is held too, where files differ.
    async fn bring(
        self: &Arc<Self>,
        id: &DeploymentId,
        release: &Release,
        silent: &mut BTreeSet<String>,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let (target, context) = self.context_of(release, 0).await?;
        let places = &release.rendered.places;
        let brought = join_all(places.iter().map(async |place| {
            let rendered = Rendered { places: vec![place.clone()], ..release.rendered.clone() };
            let context = Context { rendered: Arc::new(rendered), ..context.clone() };
            let brought = target.bring(&context);
            let late = || format!("{place} did not answer within {} s", BRING.as_secs());
            match places.len() {
                0 | 1 => brought.await,
                _ => tokio::time::timeout(BRING, brought)
                    .await
                    .unwrap_or_else(|_| Err(TargetError::Passing(late()))),
            }
        }))
        .await;
        let answers = brought.iter().any(Result::is_ok);
        for error in brought.into_iter().filter_map(Result::err) {
            match error {
                // One that does not answer blocks the way back of no other.
                TargetError::Passing(reason) if answers => drop(silent.insert(reason)),
                error => {
                    return Err(EngineError::Refused(format!(
                        "{} of {id} cannot be had any more: {error}",
                        describe(release)
                    )));
                }
            }
        }
        if self.files_are_those_of(id, release)? {
            return Ok(None);
        }
        // It is told later, where it cannot be told now.
        let would_be = tokio::time::timeout(BRING, self.new_files_old_versions(id, release)).await;
        would_be.unwrap_or(Ok(None))
    }

    /// Whether the fleet's files of a deployment are those of a release, whatever the versions.
    fn files_are_those_of(&self, id: &DeploymentId, release: &Release) -> Result<bool, EngineError> {
        let view = self.view()?;
        let Some(deployment) = view.fleet.deployments.get(id) else { return Ok(true) };
        let files = files_hash(&view.tree, deployment, &release.rendered.reads, view.sites(id))?;
        Ok(files == release.files)
    }

    /// Whether all of them run what they are to go back to.
    async fn all_run(&self, moves: &[Move]) -> Result<bool, EngineError> {
        for (id, release) in moves {
            if self.row(id).await?.running != Some(release.hash) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this very person asked for this very way back before, it is under way or done, and the fleet says nothing
    /// new: whoever was cut off asks again, and that is no second rollback.
    async fn goes_back(
        &self,
        actor: &Actor,
        scope: &Scope,
        (moves, mixed): (&[Move], &BTreeMap<DeploymentId, Option<DesiredHash>>),
    ) -> Result<bool, EngineError> {
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(&scope.0, &scope.1)).await?;
        let asked = |hold: &Hold| {
            hold.reason == HoldReason::RolledBackByCommand && hold.by.as_ref() == Some(&actor.person)
        };
        let Some(hold) = hold.filter(asked) else { return Ok(false) };
        let update = |why| UpdateRow::key_of(&scope.0, &scope.1, why);
        let selected: Option<UpdateRow> = self.ports.store.load(&update(Why::Policy)).await?;
        let edit: Option<UpdateRow> = self.ports.store.load(&update(Why::Rollback)).await?;
        if selected.is_some() {
            return Ok(false);
        }
        let view = self.view()?;
        for (id, release) in moves {
            let (row, open) = (self.row(id).await?, self.open_rollouts(id).await?);
            let under_way = open.iter().any(|r| r.is_rollback && r.hash == release.hash && r.end.is_none());
            let done = open.is_empty() && row.running == Some(release.hash);
            if !under_way && !done {
                return Ok(false);
            }
            let new_files = mixed.get(id).copied().flatten();
            if new_files.is_some_and(|hash| !hold.holds(id, &hash)) {
                return Ok(false);
            }
            let is_held = row.desired.is_some_and(|desired| hold.holds(id, &desired));
            let known = |artifact: &ArtifactName, pin: &Pin| {
                let is = |known: Option<&Pin>| known.is_some_and(|known| known.digest == pin.digest);
                let goes = edit.as_ref().and_then(|edit| edit.restore.get(artifact));
                is(release.rendered.pins.get(artifact))
                    || goes.is_some_and(|restore| restore.left().any(|left| is(Some(left))))
                    || (is_held && is(row.desired_pins.get(artifact)))
            };
            if !self.known_pins(&view, id).await?.iter().all(|(artifact, pin)| known(artifact, pin)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether a release is meant by a tag, a digest, or its own first digits.
fn names(release: &Release, text: &str) -> bool {
    let version =
        |p: &Pin| p.tag.as_ref().is_some_and(|t| t.as_str() == text) || p.digest.to_string() == text;
    release.rendered.pins.values().any(version)
        || (text.len() >= 6 && release.hash.to_string().starts_with(text))
}
