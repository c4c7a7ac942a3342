//! A deployment: what it should run, what it runs, how it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::debt::Debt;
use super::rollout::End;
use crate::fleet::DesiredHash;
use crate::noun::{ArtifactName, DeploymentId, PersonName, Pin};
use crate::port::{CommitId, Place, Record, Table};
use crate::rollout::State;

/// How a deployment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Runs its release, and its checks pass.
    Healthy,
    /// Runs its release, and a check fails.
    Degraded,
    /// Does not run.
    Missing,
    /// Not known yet.
    #[default]
    Unknown,
}

/// It cannot be told what a deployment should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unclear {
    /// A registry or a tool does not answer: compared again at the next look at the fleet.
    ForNow,
    /// Until a dhow runs that knows deployments of its type.
    NoTarget,
    /// Until the fleet says something else, or a first version is there.
    UntilCommit,
}

/// How far a removal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Too much would go at once: a person must confirm it.
    Waits,
    /// People are asked.
    Asked,
    /// It is being removed.
    Going,
    /// It is removed, but from the places that owe it.
    Owed,
}

/// What runs is to be brought back to its release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mend {
    /// What was found.
    pub reason: String,
    /// How often it was tried.
    pub tries: u32,
}

/// A running rollout is to end, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Which rollout.
    pub rollout: u64,
    /// Why.
    pub end: End,
    /// In words.
    pub reason: String,
}

/// A deployment: what it should run, what it runs, how it is. Key: `service/type/environment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// Which.
    pub id: DeploymentId,
    /// Its folder in the fleet, as it was last seen there.
    pub folder: String,
    /// What the fleet says it should run.
    pub desired: Option<DesiredHash>,
    /// The versions of `desired`.
    pub desired_pins: BTreeMap<ArtifactName, Pin>,
    /// The release that runs.
    pub running: Option<DesiredHash>,
    /// The last release that was healthy.
    pub healthy_release: Option<DesiredHash>,
    /// The newest rollout, where there was one.
    pub rollout: Option<u64>,
    /// State of the newest rollout; none: adopted, or nothing yet.
    pub phase: Option<State>,
    /// It was adopted at first sight.
    pub adopted: bool,
    /// How it is.
    pub health: Health,
    /// Why it is so, where it is not healthy.
    pub reason: Option<String>,
    /// It waits for a person, with what to do.
    pub waiting_for: Option<String>,
    /// Accumulated healthy time of the running release, milliseconds of the monotonic clock.
    pub healthy_ms: u64,
    /// Since when it is as it is, milliseconds since 1970.
    pub since_ms: i64,
    /// The fleet's commit of the running release.
    pub commit: Option<CommitId>,
    /// Its folder is gone from the fleet: how far its removal is.
    pub removal: Option<Removal>,
    /// It cannot be told what should run.
    pub unclear: Option<Unclear>,
    /// People wrote what cannot be told yet, because something is silent: it is not overwritten meanwhile.
    #[serde(default)]
    pub of_people: bool,
    /// Who wrote what the fleet says and what does not run yet: their votes may not count.
    pub authors: BTreeSet<PersonName>,
    /// A running rollout is to end. Only the task that drives the rollout writes the rollout itself.
    pub stop: Option<StopRequest>,
    /// Somebody else changed what runs: it is to be brought back to its release.
    #[serde(default)]
    pub mend: Option<Mend>,
    /// It is left to a person to bring it back; `waiting_for` says why.
    #[serde(default)]
    pub mend_left: bool,
    /// When it was brought back of late, milliseconds since 1970, newest last.
    #[serde(default)]
    pub mended_ms: Vec<i64>,
    /// What places owe it, one entry a place.
    #[serde(default)]
    pub debts: Vec<Debt>,
}

impl DeploymentRow {
    /// Leaves it to a person to bring it back. What it waits for already is not hidden.
    pub fn leave_mend(&mut self, told: String) {
        self.mend_left = true;
        self.waiting_for.get_or_insert(told);
    }

    /// It is as it should be, or a person has spoken: bringing it back is Dhow's again.
    pub fn take_mend(&mut self) {
        if std::mem::take(&mut self.mend_left) {
            self.waiting_for = None;
        }
        self.mended_ms.clear();
    }

    /// What a place owes.
    pub fn debt(&self, place: &Place) -> Option<&Debt> {
        self.debts.iter().find(|debt| debt.place == *place)
    }

    /// Notes what a place owes, in place of what it owed before.
    pub fn owe(&mut self, debt: Debt) {
        self.debts.retain(|known| known.place != debt.place);
        self.debts.push(debt);
    }

    /// A place owes nothing any more. True: it did.
    pub fn settle(&mut self, place: &Place) -> bool {
        let before = self.debts.len();
        self.debts.retain(|debt| debt.place != *place);
        self.debts.len() < before
    }

    /// A deployment of which nothing is known.
    pub fn new(id: DeploymentId, since_ms: i64) -> Self {
        Self {
            id,
            folder: String::new(),
            desired: None,
            desired_pins: BTreeMap::new(),
            running: None,
            healthy_release: None,
            rollout: None,
            phase: None,
            adopted: false,
            health: Health::Unknown,
            reason: None,
            waiting_for: None,
            healthy_ms: 0,
            since_ms,
            commit: None,
            removal: None,
            unclear: None,
            of_people: false,
            authors: BTreeSet::new(),
            stop: None,
            mend: None,
            mend_left: false,
            mended_ms: Vec::new(),
            debts: Vec::new(),
        }
    }
}

impl Record for DeploymentRow {
    const TABLE: Table = Table::Deployments;
    fn key(&self) -> String {
        self.id.to_string()
    }
    fn open(&self) -> bool {
        matches!(self.unclear, Some(Unclear::ForNow | Unclear::NoTarget))
            || matches!(self.removal, Some(Removal::Going | Removal::Owed))
            || self.mend.is_some()
            || !self.debts.is_empty()
    }
}
