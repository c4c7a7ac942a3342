//! What a rollback by command writes: the hold, the rollouts back, and the edit of the fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::policy::Rule;
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{
    DeploymentRow, End, Event, Hold, HoldReason, Release, Rollout, State, StopRequest, Transition, UpdateRow,
    Why,
};

use super::Actor;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::select::ranks_above;
use crate::sync::until;
use crate::update::Leaving;
use crate::view::{Scope, View};

/// A deployment and the release that it goes back to.
pub(super) type Move = (DeploymentId, Release);

impl Inner {
    /// Adds a way back to an entry. `mixed`: what each deployment would be with the files of now and the versions that it
    /// goes back to, where that is another release.
    pub(super) async fn stage_going_back(
        self: &Arc<Self>,
        held: &Held,
        actor: &Actor,
        scope @ (service, environment): &Scope,
        (moves, mixed): (&[Move], &BTreeMap<DeploymentId, Option<DesiredHash>>),
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let message = format!("rolled back by {}", actor.person);
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let reason = HoldReason::RolledBackByCommand;
        let mut hold =
            known.unwrap_or_else(|| Hold::new(service.clone(), environment.clone(), reason, self.now_ms()));
        hold.reason = reason;
        hold.message.clone_from(&message);
        hold.by = Some(actor.person.clone());
        let view = self.view()?;
        let on_its_way = UpdateRow::key_of(service, environment, Why::Policy);
        let update: Option<UpdateRow> = self.ports.store.load(&on_its_way).await?;
        let mut leaving = Leaving::new();
        for (id, release) in moves {
            let row = self.row(id).await?;
            let open = self.open_rollouts(id).await?;
            // What the fleet says, also where that was not compared yet.
            let mut left: Vec<_> = row.desired_pins.clone().into_iter().collect();
            left.extend(self.known_pins(&view, id).await?);
            hold_left(&mut hold, &view, scope, (&left, release));
            for (artifact, back) in &release.rendered.pins {
                let (lefts, _) =
                    leaving.entry(artifact.clone()).or_insert_with(|| (Vec::new(), back.clone()));
                lefts.extend(left.iter().filter(|(of, _)| of == artifact).map(|(_, pin)| pin.clone()));
                // It may be on the branch already. What is newer than what is left comes again.
                lefts.extend(update.as_ref().and_then(|update| update.pins.get(artifact)).cloned());
            }
            let with_new_files = mixed.get(id).copied().flatten();
            let hashes = hold.hashes.entry(id.clone()).or_default();
            hashes.extend(row.desired.into_iter().chain(with_new_files));
            // What was left before, and is what is wanted now.
            hashes.remove(&release.hash);
            self.stage_move_back(held, (row, open), release, (actor, &hold), entry).await?;
        }
        hold.hashes.retain(|_, hashes| !hashes.is_empty());
        let about: Vec<_> = moves.iter().map(|(id, release)| (id.clone(), Some(release.hash))).collect();
        self.close_questions(held, &about, entry).await?;
        entry.put(&hold)?.event(Event::Held {
            service: service.clone(),
            environment: environment.clone(),
            reason: message,
            by: Some(actor.person.clone()),
        });
        entry.remove::<UpdateRow>(on_its_way);
        self.stage_return(scope, (actor, &view.commit), leaving, entry).await
    }

    /// Adds the rollout back of one deployment, where it does not run that release already.
    async fn stage_move_back(
        self: &Arc<Self>,
        held: &Held,
        (mut row, open): (DeploymentRow, Vec<Rollout>),
        release: &Release,
        (actor, hold): (&Actor, &Hold),
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let active = open.iter().find(|r| !r.state.is_waiting());
        // One that only tidies up serves already: it comes to its end, and the way back begins after it.
        let serves = active.filter(|r| r.state == State::Finishing).map(|r| r.hash).or(row.running);
        if let Some(active) = active.filter(|r| r.hash != release.hash && r.state != State::Finishing) {
            let (end, reason) = (End::Cancelled(actor.person.clone()), hold.message.clone());
            row.stop = Some(StopRequest { rollout: active.number, end, reason });
        }
        if serves != Some(release.hash) {
            let rollout = self.new_rollout(&mut row, &release.hash, &release.commit, true);
            return self.stage_rollout(held, row, rollout, entry).await;
        }
        for mut rollout in open.into_iter().filter(|r| r.state.is_waiting()) {
            let told = Some(hold.message.clone());
            self.stage_move(held, &mut rollout, &mut row, Transition::Supersede, told, entry)?;
            entry.put(&rollout)?;
        }
        if row.desired.is_some_and(|desired| hold.holds(&row.id, &desired)) {
            row.waiting_for = Some(until(hold));
        }
        entry.put(&row)?;
        Ok(())
    }
}

/// Nothing up to what is left is selected.
fn hold_left(
    hold: &mut Hold,
    view: &View,
    (service, environment): &Scope,
    (left, release): (&[(ArtifactName, Pin)], &Release),
) {
    let declared = view.fleet.services.get(service);
    for (artifact, pin) in left {
        if release.rendered.pins.get(artifact).is_some_and(|back| back.digest != pin.digest) {
            hold_up_to(hold, declared.and_then(|d| d.rule(environment, artifact)), artifact, pin);
        }
    }
}

/// Nothing up to the version that is left is selected: of several, up to the highest. What has no tag has no rank.
fn hold_up_to(hold: &mut Hold, rule: Option<&Rule>, artifact: &ArtifactName, left: &Pin) {
    let rises = |known: &Pin| match (rule, &left.tag, &known.tag) {
        (Some(rule), Some(left), Some(known)) => ranks_above(rule, left.as_str(), known.as_str()),
        (Some(_), Some(_), None) => true,
        _ => false,
    };
    if hold.up_to.get(artifact).is_none_or(rises) {
        hold.up_to.insert(artifact.clone(), left.clone());
    }
}

#[cfg(test)]
mod tests {
    use dhow_core::noun::Digest;
    use dhow_core::policy::Policy;

    use super::*;

    #[test]
    fn of_several_versions_that_are_left_the_highest_is_held_whatever_their_order() {
        let (service, environment) = ("shop".parse().unwrap(), "stage".parse().unwrap());
        let mut hold = Hold::new(service, environment, HoldReason::RolledBackByCommand, 0);
        let rule = Rule::new(Policy::semver(">=0").unwrap(), None, None).unwrap();
        let web: ArtifactName = "web".parse().unwrap();
        for tag in [None, Some("1.1.0"), Some("1.10.0"), None, Some("1.2.0")] {
            let left = Pin {
                repository: "r.test/shop/web".parse().unwrap(),
                tag: tag.map(|tag| tag.parse().unwrap()),
                digest: Digest::of(tag.unwrap_or_default().as_bytes()),
            };
            hold_up_to(&mut hold, Some(&rule), &web, &left);
        }
        assert_eq!(hold.up_to[&web].tag.as_ref().unwrap().as_str(), "1.10.0");
    }
}
