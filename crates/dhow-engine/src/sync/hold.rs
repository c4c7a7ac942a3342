//! Holds as the fleet moves: which end, and which a commit that lowers a version sets (design rules 5.6 and 5.7).

use std::collections::BTreeSet;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, PersonName, ServiceName};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{DeploymentRow, Event, Hold, HoldReason};

use super::desired::Ready;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::select::ranks_above;
use crate::view::View;

/// A version newer than the one that was left lifts the hold of versions, unless somebody is about to go back from it.
fn lift(
    hold: &mut Option<Hold>,
    view: &View,
    row: &DeploymentRow,
    ready: &Ready,
    goes: &BTreeSet<ArtifactName>,
) {
    let Some(hold) = hold else { return };
    let Some(service) = view.fleet.services.get(&row.id.service) else { return };
    hold.up_to.retain(|artifact, left| {
        let new = ready.rendered.pins.get(artifact);
        let rule = service.rule(&row.id.environment, artifact);
        let tags = (new.and_then(|pin| pin.tag.as_ref()), left.tag.as_ref());
        match (rule, tags) {
            (Some(rule), (Some(new), Some(left))) => {
                goes.contains(artifact) || !ranks_above(rule, new.as_str(), left.as_str())
            }
            _ => true,
        }
    });
}

/// Somebody goes back from what the fleet still says of a deployment.
fn until_written(hold: &mut Option<Hold>, id: &DeploymentId, hash: DesiredHash, by: PersonName, now_ms: i64) {
    let DeploymentId { service, environment, .. } = id;
    let reason = HoldReason::RolledBackByCommand;
    let hold = hold.get_or_insert_with(|| Hold {
        message: format!("rolled back by {by}"),
        by: Some(by),
        ..Hold::new(service.clone(), environment.clone(), reason, now_ms)
    });
    hold.hashes.entry(id.clone()).or_default().insert(hash);
}

/// What was held of a deployment is over: the fleet says something else, or it runs.
pub(super) fn end_of(hold: &mut Option<Hold>, id: &DeploymentId) {
    if let Some(hold) = hold
        && hold.hashes.remove(id).is_some()
        && hold.hashes.is_empty()
    {
        hold.files = false;
    }
}

/// Adds a changed hold to an entry; one that holds nothing any more ends.
pub(super) fn store(before: Option<Hold>, after: Option<Hold>, entry: &mut Entry) -> Result<(), EngineError> {
    let Some(after) = after.filter(|after| before.as_ref() != Some(after)) else { return Ok(()) };
    if !after.is_over() {
        entry.put(&after)?;
    } else if before.is_some() {
        entry.remove::<Hold>(Hold::key_of(&after.service, &after.environment)).event(Event::HoldEnded {
            service: after.service,
            environment: after.environment,
            reason: "the fleet says something else".into(),
            by: None,
        });
    }
    Ok(())
}

/// What ends a hold, for people.
pub(crate) fn until(hold: &Hold) -> String {
    let Hold { service, environment, message, .. } = hold;
    until_resumed(message, service, environment)
}

/// The same for one of several reasons of a hold.
pub(crate) fn until_resumed(why: &str, service: &ServiceName, environment: &EnvironmentName) -> String {
    format!("{why}; `dhow resume {service} {environment}` lets it go on")
}

impl Inner {
    /// What a deployment waits for that runs something else than the fleet says, because that is held.
    pub(crate) async fn held_until(&self, row: &DeploymentRow) -> Result<Option<String>, EngineError> {
        let DeploymentId { service, environment, .. } = &row.id;
        let Some(desired) = row.desired.filter(|desired| Some(desired) != row.running.as_ref()) else {
            return Ok(None);
        };
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let hold = hold.filter(|hold| hold.holds(&row.id, &desired));
        Ok(hold.as_ref().map(until))
    }

    /// Adds to an entry that what was held of a deployment is over.
    pub(crate) async fn stage_end_of_hold(
        &self,
        _held: &Held,
        id: &DeploymentId,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let mut hold = known.clone();
        end_of(&mut hold, id);
        store(known, hold, entry)
    }

    /// The hold as it is stored, what the head that a deployment is compared with makes of it, and whether somebody is
    /// about to go back from that head. `of_people`: people wrote it.
    pub(super) async fn hold_at(
        &self,
        view: &View,
        row: &DeploymentRow,
        ready: &Ready,
        of_people: bool,
        entry: &mut Entry,
    ) -> Result<(Option<Hold>, Option<Hold>, bool), EngineError> {
        let id = &row.id;
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let mut hold = known.clone();
        let (by, goes) = self.about_to_go_back(view, id).await?.unzip();
        lift(&mut hold, view, row, ready, &goes.unwrap_or_default());
        if of_people {
            hold = self.notice_lowering(view, row, ready, hold, entry).await?;
        }
        let gives_way = by.is_some();
        if let Some(by) = by {
            until_written(&mut hold, id, ready.hash, by, self.now_ms());
        }
        Ok((known, hold, gives_way))
    }

    /// A person's commit that lowers a version holds the service against everything up to the version left.
    async fn notice_lowering(
        &self,
        view: &View,
        row: &DeploymentRow,
        ready: &Ready,
        mut hold: Option<Hold>,
        entry: &mut Entry,
    ) -> Result<Option<Hold>, EngineError> {
        let DeploymentId { service, environment, .. } = &row.id;
        let Some(declared) = view.fleet.services.get(service) else { return Ok(hold) };
        for (artifact, new) in &ready.rendered.pins {
            let old = row.desired_pins.get(artifact).filter(|old| old.digest != new.digest);
            let (Some(old), Some(rule)) = (old, declared.rule(environment, artifact)) else { continue };
            let (Some(old_tag), Some(new_tag)) = (&old.tag, &new.tag) else { continue };
            let known = hold.as_ref().and_then(|h| h.up_to.get(artifact)).and_then(|left| left.tag.as_ref());
            if !ranks_above(rule, old_tag.as_str(), new_tag.as_str())
                || known.is_some_and(|known| !ranks_above(rule, old_tag.as_str(), known.as_str()))
                || self.is_quarantined_at(service, environment, old).await?
            {
                continue;
            }
            let message = format!(
                "a commit went back from {artifact} {old_tag} to {new_tag}: nothing up to {old_tag} is selected"
            );
            let held = hold.get_or_insert_with(|| {
                let (service, environment) = (service.clone(), environment.clone());
                Hold::new(service, environment, HoldReason::LoweredByCommit, self.now_ms())
            });
            held.up_to.insert(artifact.clone(), old.clone());
            held.message.clone_from(&message);
            entry.event(Event::Held {
                service: service.clone(),
                environment: environment.clone(),
                reason: message,
                by: None,
            });
        }
        Ok(hold)
    }
}
