//! What must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Digest, Pin};
use dhow_core::rollout::{
    Ask, DeploymentRow, End, Event, Health, Hold, Proposal, Release, Rollout, State, Why,
};

use crate::support::{World, deployment};

use super::reference::{Reference, Run};
use super::{Broken, act, shop};

/// The digests of a release, also of one that Dhow forgot: it may have been removed since.
pub fn digests(world: &World, id: &DeploymentId, hash: &DesiredHash) -> Vec<Digest> {
    let release: Option<Release> = world.load(&format!("{id}/{hash}"));
    let known = release.map(|r| r.rendered.pins.values().map(|pin| pin.digest).collect());
    known.unwrap_or_else(|| world.dock(&id.to_string()).digests_of(hash))
}

/// The number in a tag `1.N.0`.
fn version(pin: &Pin) -> Option<u32> {
    pin.tag.as_ref()?.as_str().strip_prefix("1.")?.strip_suffix(".0")?.parse().ok()
}

impl Reference {
    /// One fact, in the order of the log.
    pub(super) fn hear(&mut self, world: &World, event: &Event, at_ms: i64) -> Result<(), Broken> {
        match event {
            Event::RolloutQueued { deployment, rollout, hash, .. } => {
                self.is_no_repetition(deployment, hash)?;
                let run = Run { hash: *hash, state: State::Queued };
                self.runs.insert((deployment.clone(), *rollout), run);
            }
            Event::RolloutMoved { deployment, rollout, from, to, .. } => {
                self.moved(world, (deployment, *rollout), *from, *to)?;
                if *to == State::Succeeded
                    && let Some(run) = self.runs.get(&(deployment.clone(), *rollout)).cloned()
                {
                    self.healthy_from(world, deployment, &run.hash, at_ms);
                }
            }
            Event::Adopted { deployment, hash } => {
                self.runs_as_adopted(deployment, hash)?;
                for digest in digests(world, deployment, hash) {
                    self.adopted.insert((deployment.clone(), digest));
                }
                self.health.remove(deployment);
                self.healthy_from(world, deployment, hash, at_ms);
            }
            Event::Quarantined { service, environment, digest, reason, .. } => {
                let key = (service.to_string(), environment.to_string(), *digest);
                self.quarantined.insert(key.clone());
                let here = |id: &DeploymentId| id.service == *service && id.environment == *environment;
                let by_person = reason == act::LEAKS;
                if !by_person && shop::all().map(deployment).filter(here).all(|id| self.settled.contains(&id))
                {
                    self.failed.insert(key);
                }
            }
            Event::Unquarantined { service, environment, digest, .. } => {
                let key = (service.to_string(), environment.to_string(), *digest);
                self.quarantined.remove(&key);
                self.failed.remove(&key);
            }
            Event::FleetMoved { .. } => self.fleet_is_seen(),
            Event::Stalled { deployment, .. } => drop(self.unseen.remove(&deployment.to_string())),
            Event::Removed { deployment } => {
                self.health.remove(deployment);
                self.settled.remove(deployment);
            }
            Event::HealthChanged { deployment, health, .. } => {
                self.health.insert(deployment.clone(), *health);
                let row: Option<DeploymentRow> = world.load(&deployment.to_string());
                if let (Health::Healthy, Some(hash)) = (*health, row.and_then(|row| row.running)) {
                    self.healthy_from(world, deployment, &hash, at_ms);
                }
            }
            Event::UpdateSelected { service, environment, pins, why, .. } if *why != Why::Rollback => {
                if *why == Why::Promotion {
                    self.is_proven(service.as_str(), pins)?;
                    self.soaked(service.as_str(), pins.values().map(|pin| pin.digest), at_ms)?;
                }
                self.may_be_selected(service.as_str(), environment.as_str(), pins.values(), "selected")?;
            }
            Event::ProposalOpened { id, service, environment, .. } => {
                let row: Option<Proposal> = world.load(&format!("{service}/{environment}/{id}"));
                row.iter().for_each(|asked| self.is_asked(asked));
                if let Some(Proposal { ask: Ask::Update { pins, .. }, .. }) = row {
                    self.may_be_selected(service.as_str(), environment.as_str(), pins.values(), "proposed")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A quarantined version is never selected: not where it is quarantined, nor in an environment promoted from there.
    /// Nor is one that is held back: nothing up to the version that was left, and nothing until files change.
    fn may_be_selected<'a>(
        &self,
        service: &str,
        environment: &str,
        pins: impl Iterator<Item = &'a Pin>,
        how: &str,
    ) -> Result<(), Broken> {
        let hold = self.steady.get(&format!("{service}/{environment}"));
        let left = hold.and_then(|hold| hold.up_to.values().next()).and_then(version);
        if hold.is_some_and(|hold| hold.files) {
            return Err(format!("{service} is {how} for {environment}, which waits for other files"));
        }
        let mut from = vec![environment];
        if environment == "production" && shop::has_from(self.shape.gates) {
            from.push("stage");
        }
        for pin in pins {
            let digest = pin.digest;
            if version(pin).zip(left).is_some_and(|(new, left)| new <= left) {
                return Err(format!(
                    "{} is {how} for {environment}, and all up to 1.{}.0 is held back",
                    pin.reference(),
                    left.unwrap_or_default()
                ));
            }
            for at in &from {
                if self.quarantined.contains(&(service.to_owned(), (*at).to_owned(), digest)) {
                    return Err(format!(
                        "{} of {service} is {how} for {environment}, and it is quarantined in {at}",
                        digest.short()
                    ));
                }
            }
        }
        Ok(())
    }

    fn moved(
        &mut self,
        world: &World,
        (id, number): (&DeploymentId, u64),
        from: State,
        to: State,
    ) -> Result<(), Broken> {
        let key = (id.clone(), number);
        let Some(run) = self.runs.get(&key).cloned() else {
            return Err(format!("rollout {number} of {id} moves to {to} and was never queued"));
        };
        if run.state != from {
            return Err(format!("rollout {number} of {id} moves from {from}, and was {}", run.state));
        }
        if from.is_waiting() && !to.is_waiting() && !to.is_final() {
            self.begins(world, (id, number), &run)?;
        }
        if to == State::Switching {
            self.comes_from_upstream(world, id, &run.hash)?;
        }
        if to == State::Succeeded {
            for digest in digests(world, id, &run.hash) {
                self.healthy.insert((id.clone(), digest));
                self.works_after_all(world, id, digest);
            }
        }
        self.runs.insert(key, Run { hash: run.hash, state: to });
        Ok(())
    }

    /// What failed in a deployment, and runs healthy there with files that came since, failed no more.
    fn works_after_all(&mut self, world: &World, id: &DeploymentId, digest: Digest) {
        let failed_here = |number| {
            let rollout: Option<Rollout> = world.load(&Rollout::key_of(id, number));
            rollout.is_some_and(|rollout| rollout.end == Some(End::Failed))
        };
        let failed = |(of, run): (&(DeploymentId, u64), &Run)| {
            let ended = match run.state {
                State::Stalled => true,
                State::RolledBack => failed_here(of.1),
                _ => false,
            };
            of.0 == *id && ended && digests(world, id, &run.hash).contains(&digest)
        };
        if self.runs.iter().any(failed) {
            self.failed.remove(&(id.service.to_string(), id.environment.to_string(), digest));
        }
    }

    /// One rollout at a time, and none without the approvals that its environment asks for.
    fn begins(&self, world: &World, (id, number): (&DeploymentId, u64), run: &Run) -> Result<(), Broken> {
        let busy = |(of, other): &(DeploymentId, u64), run: &Run| {
            of == id && *other != number && !run.state.is_waiting() && !run.state.is_final()
        };
        if let Some(((_, other), run)) = self.runs.iter().find(|(key, run)| busy(key, run)) {
            return Err(format!("{id} begins rollout {number} while {other} is {}", run.state));
        }
        let row: Option<Rollout> = world.load(&Rollout::key_of(id, number));
        let is_rollback = row.is_some_and(|row| row.is_rollback);
        if !is_rollback {
            self.is_its_turn(id)?;
            self.is_not_held(id, number, run)?;
        }
        let Some((needed, who)) = shop::approvers(self.shape.gates) else { return Ok(()) };
        if is_rollback || id.environment.as_str() != "production" {
            return Ok(());
        }
        let about = |question: &str| {
            let said = self.yes.iter().filter(|y| y.deployment == *id && y.hash == run.hash);
            let said = said.filter(|y| y.question == question && who.contains(&y.who));
            said.map(|y| y.who).collect::<BTreeSet<_>>().len()
        };
        let most = self.yes.iter().map(|yes| about(&yes.question)).max().unwrap_or(0);
        if most < needed {
            return Err(format!(
                "rollout {number} of {id} begins with {most} of {needed} approvals of {}",
                run.hash.short()
            ));
        }
        Ok(())
    }

    /// What is held waits for a person, or for the fleet to say something else.
    fn is_not_held(&self, id: &DeploymentId, number: u64, run: &Run) -> Result<(), Broken> {
        let hold = self.holding.get(&format!("{}/{}", id.service, id.environment));
        match hold.filter(|hold| hold.holds(id, &run.hash)) {
            Some(hold) => Err(format!(
                "rollout {number} of {id} begins with {}, which is held: {}",
                run.hash.short(),
                hold.message
            )),
            None => Ok(()),
        }
    }

    /// Where `from` is set, production runs what ran healthy on stage, or healthy in production before, or was adopted.
    fn comes_from_upstream(
        &self,
        world: &World,
        id: &DeploymentId,
        hash: &DesiredHash,
    ) -> Result<(), Broken> {
        if !shop::has_from(self.shape.gates) || id.environment.as_str() != "production" {
            return Ok(());
        }
        let upstream: Vec<DeploymentId> = shop::all()
            .map(deployment)
            .filter(|up| up.service == id.service && up.environment.as_str() == "stage")
            .collect();
        // With nothing of the service upstream, `from` binds nothing.
        let stands = upstream.iter().any(|up| self.stands_upstream(up));
        for digest in digests(world, id, hash) {
            let here =
                self.healthy.contains(&(id.clone(), digest)) || self.adopted.contains(&(id.clone(), digest));
            let there = upstream.iter().any(|up| {
                self.healthy.contains(&(up.clone(), digest)) || self.adopted.contains(&(up.clone(), digest))
            });
            if stands && !here && !there {
                return Err(format!(
                    "{id} goes live with {}, which never ran healthy on stage",
                    digest.short()
                ));
            }
        }
        Ok(())
    }

    fn stands_upstream(&self, up: &DeploymentId) -> bool {
        !self.may_be_gone.contains(&up.to_string())
    }

    /// Where `after` is set, the services that it names are healthy first.
    fn is_its_turn(&self, id: &DeploymentId) -> Result<(), Broken> {
        if !self.shape.after || id.service.as_str() != "app" {
            return Ok(());
        }
        for first in shop::all().map(deployment) {
            let before = first.service.as_str() == "shop" && first.environment == id.environment;
            let health = self.health.get(&first);
            if before && health != Some(&Health::Healthy) && !self.may_be_gone.contains(&first.to_string()) {
                return Err(format!("{id} begins, and {first} is {health:?}"));
            }
        }
        Ok(())
    }

    /// What runs when the database is lost is looked at before anything is done to it, and what was adopted is not
    /// rolled out again.
    fn is_no_repetition(&mut self, id: &DeploymentId, hash: &DesiredHash) -> Result<(), Broken> {
        if self.unseen.contains_key(&id.to_string()) {
            return Err(format!("{id} runs, and gets a rollout before it was looked at"));
        }
        match self.untouched.remove(id) {
            Some(adopted) if adopted == *hash => {
                Err(format!("{id} was adopted with {}, and gets a rollout to it", hash.short()))
            }
            _ => Ok(()),
        }
    }

    /// What is adopted is what runs, at each of its places.
    fn runs_as_adopted(&mut self, id: &DeploymentId, hash: &DesiredHash) -> Result<(), Broken> {
        let ran = self.unseen.remove(&id.to_string()).unwrap_or_default();
        if ran.iter().any(|ran| *ran != Some(*hash)) {
            return Err(format!("{id} is adopted with {}, and ran {ran:?}", hash.short()));
        }
        self.untouched.insert(id.clone(), *hash);
        Ok(())
    }

    fn healthy_from(&mut self, world: &World, id: &DeploymentId, hash: &DesiredHash, at_ms: i64) {
        self.settled.insert(id.clone());
        for digest in digests(world, id, hash) {
            self.healthy_since.insert((id.clone(), digest), at_ms);
        }
    }

    /// What is promoted ran healthy upstream, or was adopted there.
    fn is_proven(&self, service: &str, pins: &BTreeMap<ArtifactName, Pin>) -> Result<(), Broken> {
        let ran = self.healthy.iter().chain(&self.adopted);
        let upstream: BTreeSet<Digest> = ran
            .filter(|(id, _)| id.service.as_str() == service && id.environment.as_str() == "stage")
            .map(|(_, digest)| *digest)
            .collect();
        match pins.values().find(|pin| !upstream.contains(&pin.digest)) {
            Some(pin) => Err(format!("{} is promoted, and never ran healthy on stage", pin.reference())),
            None => Ok(()),
        }
    }

    /// Where a soak is set, nothing is promoted that was not healthy for so long.
    fn soaked(&self, service: &str, digests: impl Iterator<Item = Digest>, at_ms: i64) -> Result<(), Broken> {
        let Some(soak) = shop::soak(self.shape.gates) else { return Ok(()) };
        let soak = i64::try_from(soak.as_millis()).unwrap_or(i64::MAX);
        for digest in digests {
            for ((id, of), since) in &self.healthy_since {
                let upstream = id.service.as_str() == service && id.environment.as_str() == "stage";
                if upstream && *of == digest && at_ms - since < soak {
                    return Err(format!(
                        "{} is promoted, and {id} is healthy with it for {} ms of {soak}",
                        digest.short(),
                        at_ms - since
                    ));
                }
            }
        }
        Ok(())
    }

    /// The world as it is now.
    pub(super) fn see(&mut self, world: &World) -> Result<(), Broken> {
        for id in shop::all() {
            self.nothing_broken_is_live(world, id)?;
            self.the_old_serves_on(world, id)?;
            held_is_not_rolled_out(world, id)?;
            one_at_a_time(world, id)?;
            let row = world.load::<dhow_core::rollout::DeploymentRow>(id);
            if row.is_some_and(|row| row.running.is_some() && row.running == row.desired) {
                self.forget_authors(id);
            }
        }
        Ok(())
    }

    /// No visitor sees a version whose checks fail.
    fn nothing_broken_is_live(&mut self, world: &World, id: &str) -> Result<(), Broken> {
        let switched = world.dock(id).switched();
        let seen = self.switches.entry(id.to_owned()).or_default();
        for (of, hash) in switched.iter().skip(*seen).filter(|(of, _)| of.to_string() == id) {
            for digest in digests(world, of, hash) {
                if self.broken.contains(&(id.to_owned(), digest)) {
                    return Err(format!("{} went live on {id}, and its checks fail", digest.short()));
                }
            }
        }
        *seen = switched.len();
        Ok(())
    }

    /// What served goes on to serve until something else does.
    fn the_old_serves_on(&mut self, world: &World, id: &str) -> Result<(), Broken> {
        let at = deployment(id);
        let was_healthy = self.healthy.iter().any(|(of, _)| *of == at);
        for place in shop::places(self.shape, id) {
            let now = world.dock(id).target.current(&at, &place);
            let key = (id.to_owned(), place);
            match (self.ran.get(&key), now) {
                (Some(_), None) if was_healthy && !self.may_be_gone.contains(id) => {
                    return Err(format!("nothing serves on {id} any more, {}", key.1));
                }
                (_, Some(now)) => drop(self.ran.insert(key, now)),
                (_, None) => drop(self.ran.remove(&key)),
            }
        }
        Ok(())
    }
}

/// A held desired hash is not rolled out.
fn held_is_not_rolled_out(world: &World, id: &str) -> Result<(), Broken> {
    let at = deployment(id);
    let Some(hold) = world.load::<Hold>(&Hold::key_of(&at.service, &at.environment)) else { return Ok(()) };
    let row = world.load::<dhow_core::rollout::DeploymentRow>(id);
    let stop = row.and_then(|row| row.stop).map(|stop| stop.rollout);
    let mut open = world.list::<Rollout>(&format!("{id}/"));
    open.retain(|r| !r.state.is_final() && !r.state.is_waiting() && !r.is_rollback);
    for rollout in open {
        let ends =
            matches!(rollout.state, State::RollingBack | State::Finishing) || stop == Some(rollout.number);
        if hold.holds(&at, &rollout.hash) && !ends {
            return Err(format!(
                "rollout {} of {id} is {} with a release that is held: {}",
                rollout.number, rollout.state, hold.message
            ));
        }
    }
    Ok(())
}

/// Of a deployment one rollout runs, and one waits, at most.
fn one_at_a_time(world: &World, id: &str) -> Result<(), Broken> {
    let open: Vec<Rollout> =
        world.list::<Rollout>(&format!("{id}/")).into_iter().filter(|r| !r.state.is_final()).collect();
    let waiting = open.iter().filter(|r| r.state.is_waiting()).count();
    if waiting > 1 || open.len() - waiting > 1 {
        let open: Vec<String> = open.iter().map(|r| format!("{} {}", r.number, r.state)).collect();
        return Err(format!("{id} has several rollouts at once: {}", open.join(", ")));
    }
    Ok(())
}
