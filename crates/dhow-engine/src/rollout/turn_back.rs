//! Turning back: what follows from it for versions, for other deployments and for the fleet is stored in the batch in
//! which a rollout turns back, before any place is asked. A place that does not answer holds none of it up (design rules
//! 5.6 and 5.7).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::port::{Place, StoreExt as _};
use dhow_core::rollout::{
    CheckFailure, DeploymentRow, End, Event, Hold, HoldReason, Progress, Quarantined, Release, Restore,
    Rollout, Transition, Verdict,
};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;

/// Why a rollout may have to turn back.
pub(super) enum Back {
    /// Only where somebody asked for it.
    Asked,
    /// What it brings is to blame.
    Failed(String, Option<CheckFailure>),
    /// Only where a newer one still waits.
    GaveWay(String, Option<CheckFailure>),
}

impl Inner {
    /// Turns a rollout back, and stores with it all that follows. What a person or another deployment asked for meanwhile
    /// counts more than what failed. False: it goes on.
    pub(super) async fn turn_back(
        self: &Arc<Self>,
        rollout: &mut Rollout,
        why: Back,
    ) -> Result<bool, EngineError> {
        let held = self.lock(rollout).await;
        let mut row = self.row(&rollout.deployment).await?;
        let asked = row.stop.take().filter(|stop| stop.rollout == rollout.number);
        let (end, reason, failure) = match (asked, why) {
            (Some(stop), _) => (stop.end, stop.reason, None),
            (None, Back::Asked) => return Ok(false),
            (None, Back::GaveWay(..)) if !self.newer_waits(rollout).await? => return Ok(false),
            (None, Back::GaveWay(reason, failure)) => (End::GaveWay, reason, failure),
            (None, Back::Failed(reason, failure)) => {
                (End::Failed, format!("{reason}{}", elsewhere(rollout)), failure)
            }
        };
        let transition = match end {
            End::Cancelled(_) | End::Removed => Transition::Cancel,
            _ => Transition::Fail,
        };
        rollout.failure = failure;
        rollout.end = Some(end);
        rollout.behind.clear();
        let mut entry = Entry::new();
        let mut others = Vec::new();
        rollout.verdict = Some(self.conclude(&held, rollout, &row, &reason, &mut entry, &mut others).await?);
        self.stage_move(&held, rollout, &mut row, transition, Some(reason), &mut entry)?;
        entry.put(rollout)?.put(&row)?;
        self.journal.write(entry).await?;
        drop(held);
        self.set_going(&rollout.deployment, &others);
        Ok(true)
    }

    /// The same for one that an older Dhow turned back, and of which nothing is concluded yet.
    pub(super) async fn conclude_late(self: &Arc<Self>, rollout: &mut Rollout) -> Result<(), EngineError> {
        if rollout.verdict.is_some() {
            return Ok(());
        }
        let held = self.lock(rollout).await;
        let row = self.row(&rollout.deployment).await?;
        let reason = rollout.reason.clone().unwrap_or_else(|| "it failed".into());
        let (mut entry, mut others) = (Entry::new(), Vec::new());
        rollout.verdict = Some(self.conclude(&held, rollout, &row, &reason, &mut entry, &mut others).await?);
        entry.put(rollout)?;
        self.journal.write(entry).await?;
        drop(held);
        self.set_going(&rollout.deployment, &others);
        Ok(())
    }

    /// What the batch that turned a rollout back asks of others.
    fn set_going(self: &Arc<Self>, id: &DeploymentId, others: &[DeploymentId]) {
        others.iter().for_each(|other| self.set_off(other));
        self.hurry();
        self.select_downstream(&id.service, &id.environment);
    }

    /// Adds to an entry what follows from going back. `others` are deployments that have to act.
    async fn conclude(
        self: &Arc<Self>,
        held: &Held,
        rollout: &Rollout,
        row: &DeploymentRow,
        reason: &str,
        entry: &mut Entry,
        others: &mut Vec<DeploymentId>,
    ) -> Result<Verdict, EngineError> {
        match rollout.end.clone().unwrap_or(End::Failed) {
            End::Removed | End::GaveWay => {}
            // Whoever resumed meanwhile wants it again.
            End::Cancelled(_) if self.comes_again(rollout).await? => {}
            End::Cancelled(by) => {
                let mut hold = self.hold_with(rollout, HoldReason::Cancelled, reason).await?;
                hold.by = Some(by);
                entry.put(&hold)?;
            }
            End::FailedElsewhere => {
                entry.put(&self.hold_with(rollout, HoldReason::Failed, reason).await?)?;
            }
            End::Failed if rollout.is_rollback => {
                let told = format!("{reason}; going back to it failed, what ran before still runs");
                return Ok(stalls(told, "a person: another `dhow rollback`, or a commit"));
            }
            End::Failed => return self.blame(held, rollout, row, reason, entry, others).await,
        }
        Ok(Verdict::default())
    }

    /// Another rollout of the same release waits behind this one.
    async fn comes_again(&self, rollout: &Rollout) -> Result<bool, EngineError> {
        let open = self.open_rollouts(&rollout.deployment).await?;
        Ok(open.iter().any(|r| r.state.is_waiting() && !r.is_rollback && r.hash == rollout.hash))
    }

    /// What a failed release means: quarantine, hold, the edit back, and the other deployments that took its versions.
    async fn blame(
        self: &Arc<Self>,
        held: &Held,
        rollout: &Rollout,
        row: &DeploymentRow,
        reason: &str,
        entry: &mut Entry,
        others: &mut Vec<DeploymentId>,
    ) -> Result<Verdict, EngineError> {
        let id = &rollout.deployment;
        let mends = "a commit that mends it, or another version";
        let Some(failed) = self.release(id, &rollout.hash).await? else {
            return Ok(stalls(reason.to_owned(), mends));
        };
        if row.healthy_release == Some(rollout.hash) {
            let told = format!("{reason}; this release was healthy before, so nothing is quarantined");
            return Ok(stalls(told, format!("`dhow sync {} {}`, or a commit", id.service, id.environment)));
        }
        let back = match row.healthy_release.or(row.running).filter(|hash| *hash != rollout.hash) {
            Some(hash) => self.release(id, &hash).await?,
            None => None,
        };
        let versions = changed(&failed, back.as_ref());
        for pin in versions.values() {
            self.stage_quarantine(id, pin, reason, entry)?;
        }
        let Some(back) = back else {
            let told = format!(
                "{reason}; no release of it was healthy before, so nothing runs; the next version is tried"
            );
            return Ok(stalls(told, mends));
        };
        let files_changed = back.files != failed.files;
        let mut hold = self.hold_with(rollout, HoldReason::Failed, reason).await?;
        if files_changed {
            let mixed = self.new_files_old_versions(id, &back).await?;
            hold.hashes.entry(id.clone()).or_default().extend(mixed);
            // Where the fleet says something else by now, its files may be mended.
            hold.files |= row.desired == Some(rollout.hash) || (mixed.is_some() && row.desired == mixed);
        }
        let restore = restores(&versions, &back);
        let spent = self.quarantined_here(id, restore.values().map(|restore| &restore.back)).await?;
        let scope = (id.service.clone(), id.environment.clone());
        let edit = match spent {
            None => Some(self.stage_restores(&scope, restore, entry).await?),
            Some(_) => None,
        };
        self.stage_siblings(held, id, &versions, &mut hold, entry, others).await?;
        if let Some(edit) = edit.filter(|_| hold.files) {
            self.hold_failed_files(&edit, &mut hold).await?;
        }
        entry.event(Event::Held {
            service: id.service.clone(),
            environment: id.environment.clone(),
            reason: reason.to_owned(),
            by: None,
        });
        entry.put(&hold)?;
        if files_changed || versions.is_empty() {
            let told = format!("{reason}; the last healthy release runs; it waits for other files");
            return Ok(stalls(told, "a commit that mends its files"));
        }
        let Some(spent) = spent else { return Ok(Verdict::default()) };
        let told = format!(
            "{reason}; what ran before still runs, and {} is in quarantine too, so the fleet is left as it is",
            spent.reference()
        );
        Ok(stalls(told, "another version, a commit, or `dhow quarantine remove`"))
    }

    /// The first of these versions that is in quarantine in the deployment's environment. An edit back to it would only be
    /// followed by the next failure: two deployments of a service that fail with each other's version would go to and fro
    /// for ever.
    pub(super) async fn quarantined_here(
        &self,
        id: &DeploymentId,
        pins: impl Iterator<Item = &Pin>,
    ) -> Result<Option<Pin>, EngineError> {
        for pin in pins {
            if self.is_quarantined_at(&id.service, &id.environment, pin).await? {
                return Ok(Some(pin.clone()));
            }
        }
        Ok(None)
    }

    /// The hold of a service in an environment, with this rollout's release in it.
    pub(super) async fn hold_with(
        &self,
        rollout: &Rollout,
        reason: HoldReason,
        message: &str,
    ) -> Result<Hold, EngineError> {
        let id = &rollout.deployment;
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(&id.service, &id.environment)).await?;
        let mut hold = known
            .unwrap_or_else(|| Hold::new(id.service.clone(), id.environment.clone(), reason, self.now_ms()));
        message.clone_into(&mut hold.message);
        hold.hashes.entry(id.clone()).or_default().insert(rollout.hash);
        Ok(hold)
    }

    fn stage_quarantine(
        &self,
        id: &DeploymentId,
        pin: &Pin,
        reason: &str,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let quarantined = Quarantined {
            service: id.service.clone(),
            environment: id.environment.clone(),
            pin: pin.clone(),
            reason: reason.to_owned(),
            by: None,
            at_ms: self.now_ms(),
        };
        entry.put(&quarantined)?.event(Event::Quarantined {
            service: id.service.clone(),
            environment: id.environment.clone(),
            repository: pin.repository.clone(),
            digest: pin.digest,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// The hash that the old versions would have with the new files: held as well.
    pub(crate) async fn new_files_old_versions(
        self: &Arc<Self>,
        id: &DeploymentId,
        back: &Release,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let view = self.view()?;
        let pins = &back.rendered.pins;
        let edits = crate::update::Edits::set(&view, &id.service, &id.environment, pins);
        let Ok(changes) = edits.apply(view.tree.as_ref()) else { return Ok(None) };
        match self.would_be(&view, &changes, &id.service, &id.environment).await {
            Ok(hashes) => Ok(hashes.get(id).copied()),
            Err(EngineError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The versions of a release that differ from those of another.
pub(super) fn changed(failed: &Release, back: Option<&Release>) -> BTreeMap<ArtifactName, Pin> {
    let same = |artifact: &ArtifactName, pin: &Pin| {
        back.and_then(|b| b.rendered.pins.get(artifact)).is_some_and(|old| old.digest == pin.digest)
    };
    failed.rendered.pins.iter().filter(|(a, p)| !same(a, p)).map(|(a, p)| (a.clone(), p.clone())).collect()
}

/// The edit that puts the versions of `back` where failed ones stand.
pub(super) fn restores(
    failed: &BTreeMap<ArtifactName, Pin>,
    back: &Release,
) -> BTreeMap<ArtifactName, Restore> {
    failed
        .iter()
        .filter_map(|(artifact, pin)| {
            let back = back.rendered.pins.get(artifact)?;
            Some((artifact.clone(), Restore::new(pin.clone(), back.clone())))
        })
        .collect()
}

fn stalls(reason: String, waiting_for: impl Into<String>) -> Verdict {
    Verdict { stalls: true, reason: Some(reason), waiting_for: Some(waiting_for.into()) }
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
