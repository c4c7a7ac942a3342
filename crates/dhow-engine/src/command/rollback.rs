//! rollback: to any earlier release, by command.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, Pin, ServiceName};
use dhow_core::port::Place;
use dhow_core::rollout::{Event, Hold, HoldReason, Release, UpdateRow, Why};
use serde::{Deserialize, Serialize};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;
use crate::rollout::restore::restores;

/// Where to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackTo {
    /// The healthy release before the one that runs.
    Previous,
    /// A tag, a digest, or the first digits of a release.
    Version(String),
}

impl Engine {
    /// Goes back: everything is looked for first, then the hold is set, then what ran then runs again, and the fleet
    /// gets the edit. Nothing up to the version that is left is selected until something newer comes, or `resume`.
    pub async fn rollback(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        to: &RollbackTo,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let view = inner.view()?;
        let _guard = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut moves = Vec::new();
        for id in view.deployments_of(service, environment) {
            if let Some(target) = inner.find_release(&id, to).await? {
                inner.bring(&id, &target).await?;
                moves.push((id, target));
            }
        }
        if moves.is_empty() {
            return Err(EngineError::NotFound(format!("nothing of {service} in {environment} can go back")));
        }
        let mut left: BTreeMap<ArtifactName, Pin> = BTreeMap::new();
        let mut restore = BTreeMap::new();
        for (id, target) in &moves {
            let row = inner.row(id).await?;
            let differs = row.desired_pins.iter().filter(|(artifact, pin)| {
                target.rendered.pins.get(*artifact).is_some_and(|p| p.digest != pin.digest)
            });
            left.extend(differs.map(|(artifact, pin)| (artifact.clone(), pin.clone())));
            restore.extend(restores(&left, target));
        }
        let message = format!("rolled back by {}", actor.person);
        let mut hold = Hold {
            service: service.clone(),
            environment: environment.clone(),
            hashes: Default::default(),
            up_to: left,
            instead: Default::default(),
            files: false,
            reason: HoldReason::RolledBackByCommand,
            message: message.clone(),
            by: Some(actor.person.clone()),
            at_ms: inner.now_ms(),
        };
        for (id, target) in &moves {
            let row = inner.row(id).await?;
            hold.hashes.extend(row.desired.filter(|d| *d != target.hash));
            hold.instead.insert(id.clone(), target.hash);
        }
        let mut entry = Entry::new();
        entry.put(&hold)?.event(Event::Held {
            service: service.clone(),
            environment: environment.clone(),
            reason: message,
            by: Some(actor.person.clone()),
        });
        if !restore.is_empty() {
            entry.put(&UpdateRow {
                service: service.clone(),
                environment: environment.clone(),
                pins: BTreeMap::new(),
                restore,
                why: Why::Rollback,
                by: Some(actor.person.clone()),
                proposal: None,
            })?;
        }
        entry.remove::<UpdateRow>(UpdateRow::key_of(service, environment, Why::Policy));
        inner.journal.write(entry).await?;
        for (id, target) in &moves {
            let mut row = inner.row(id).await?;
            if row.running.as_ref() == Some(&target.hash) {
                continue;
            }
            let rollout = inner.new_rollout(&mut row, &target.hash, &target.commit, true);
            inner.enqueue(row, rollout, Entry::new()).await?;
        }
        inner.updates_ready.notify_one();
        let releases: Vec<String> = moves.iter().map(|(id, r)| format!("{id} to {}", describe(r))).collect();
        Ok(Outcome::new(format!("going back: {}", releases.join(", "))))
    }
}

/// A release for people: its versions, else its first digits.
fn describe(release: &Release) -> String {
    let tags: Vec<String> = release
        .rendered
        .pins
        .iter()
        .map(|(a, p)| format!("{a} {}", p.tag.as_ref().map_or_else(|| p.digest.short(), ToString::to_string)))
        .collect();
    if tags.is_empty() { release.hash.short() } else { tags.join(", ") }
}

impl Inner {
    /// The healthy release that is meant; an error names those that can be restored.
    async fn find_release(
        self: &Arc<Self>,
        id: &DeploymentId,
        to: &RollbackTo,
    ) -> Result<Option<Release>, EngineError> {
        let row = self.row(id).await?;
        let mut releases: Vec<Release> = self.releases(id).await?;
        releases.retain(|r| r.healthy_at_ms.is_some());
        releases.sort_by_key(|r| std::cmp::Reverse(r.healthy_at_ms));
        let found = match to {
            RollbackTo::Previous => releases.iter().find(|r| Some(&r.hash) != row.running.as_ref()),
            RollbackTo::Version(text) => releases.iter().find(|r| {
                let named = r.rendered.pins.values().any(|p| {
                    p.tag.as_ref().is_some_and(|t| t.as_str() == text) || p.digest.to_string() == *text
                });
                named || (text.len() >= 6 && r.hash.to_string().starts_with(text.as_str()))
            }),
        };
        match found {
            Some(release) => Ok(Some(release.clone())),
            None if releases.is_empty() => Ok(None),
            None => {
                let known: Vec<String> = releases.iter().map(describe).collect();
                Err(EngineError::NotFound(format!(
                    "{id} has no such release; it can go back to: {}",
                    known.join("; ")
                )))
            }
        }
    }

    /// Makes sure that everything a release needs is to be had, before anything is held.
    async fn bring(&self, id: &DeploymentId, release: &Release) -> Result<(), EngineError> {
        let Some(target) = self.target(id.target) else {
            return Err(EngineError::Refused(format!(
                "this dhow does not run deployments of type {}",
                id.target
            )));
        };
        let there = target
            .releases(id, &Place::Local)
            .await
            .map_err(|e| EngineError::Refused(format!("the releases of {id} cannot be listed: {e}")))?;
        if there.iter().any(|r| r.hash == release.hash) {
            return Ok(());
        }
        for pin in release.rendered.pins.values() {
            if let Err(error) =
                self.ports.source.describe(&pin.repository, &pin.digest, pin.tag.as_ref()).await
            {
                let known: Vec<String> = there.iter().map(|r| r.hash.short()).collect();
                return Err(EngineError::Refused(format!(
                    "{} of {id} cannot be had any more: {error}; releases that are still there: {}",
                    pin.reference(),
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }
}
