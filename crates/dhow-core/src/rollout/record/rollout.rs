//! One execution: bring one deployment to one release.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::debt::LeftBehind;
use crate::fleet::DesiredHash;
use crate::noun::{DeploymentId, PersonName};
use crate::port::{CommitId, Phase, Place, Record, Step, Table};
use crate::rollout::State;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Planned,
    /// Begun, end unknown.
    Started,
    /// Done.
    Done,
    /// Taken back.
    Undone,
}

/// A step of a rollout and how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What it does.
    pub step: Step,
    /// How it stands.
    pub state: StepState,
}

/// The failing check and its last answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFailure {
    /// Which check.
    pub check: String,
    /// Its last answers, newest last, each cut to 500 characters; at most 5.
    pub answers: Vec<String>,
}

/// Why a rollout goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// What it brings is to blame.
    Failed,
    /// It had not shown yet that it works, and a newer one waits: nothing is to blame.
    GaveWay,
    /// Its version failed in another deployment of its service.
    FailedElsewhere,
    /// A person ended it.
    Cancelled(PersonName),
    /// The deployment's folder went.
    Removed,
}

/// What follows from a rollout's end, decided when it turned back: quarantine, hold and edit are stored with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// It ends Stalled.
    pub stalls: bool,
    /// What is told at its end; none: what was told when it turned back.
    pub reason: Option<String>,
    /// What a person has to do, where it stalls.
    pub waiting_for: Option<String>,
}

/// One execution: bring one deployment to one release. Key: `service/type/environment/<number, 12 digits>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number, unique in the store and growing.
    pub number: u64,
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Which release.
    pub hash: DesiredHash,
    /// The fleet's commit that it comes from.
    pub commit: CommitId,
    /// Where it stands.
    pub state: State,
    /// What ran before; where a rollback goes.
    pub before: Option<DesiredHash>,
    /// Its steps, once planned.
    pub steps: Vec<StepRecord>,
    /// Its places, in the turns in which they are switched and verified; once planned.
    #[serde(default)]
    pub turns: Vec<Vec<Place>>,
    /// The turn that is switched and verified now.
    #[serde(default)]
    pub turn: usize,
    /// It goes back to an earlier release: gates and windows do not hold it.
    pub is_rollback: bool,
    /// Why it failed, or waits, or was ended.
    pub reason: Option<String>,
    /// The check that failed.
    pub failure: Option<CheckFailure>,
    /// What the plan said, for people.
    pub notes: Vec<String>,
    /// Why it goes back, once it does.
    pub end: Option<End>,
    /// What follows from going back; none: it does not, or an older Dhow turned it back and nothing is concluded yet.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// Places that it goes on without: on a way back, those that do not answer; then, those that cannot be taken back.
    #[serde(default)]
    pub behind: Vec<LeftBehind>,
    /// Places where it was to be removed and was not; none: that was not tried yet.
    #[serde(default)]
    pub not_left: Option<Vec<LeftBehind>>,
    /// How often going back did not work everywhere.
    #[serde(default)]
    pub undo_tries: u32,
    /// When each state was reached, milliseconds since 1970.
    pub times: BTreeMap<String, i64>,
}

impl Rollout {
    /// Its key.
    pub fn key_of(deployment: &DeploymentId, number: u64) -> String {
        format!("{deployment}/{number:012}")
    }

    /// Another one came in its place before its end was known.
    pub fn gave_way(&self) -> bool {
        self.state == State::Superseded || self.end == Some(End::GaveWay)
    }

    /// The turns that a phase is done for: switching and verifying go turn by turn, the others for all places.
    pub fn turns_of(&self, phase: Phase) -> &[Vec<Place>] {
        match phase {
            Phase::Switching | Phase::Verifying => self.turns.get(self.turn..=self.turn).unwrap_or_default(),
            Phase::Preparing | Phase::Checking | Phase::Finishing => &self.turns,
        }
    }

    /// There are places that were not switched yet.
    pub fn has_next_turn(&self) -> bool {
        self.turn + 1 < self.turns.len()
    }

    /// It goes on without this place.
    pub fn is_behind(&self, place: &Place) -> bool {
        self.behind.iter().any(|left| left.place == *place)
    }

    /// How far a place is.
    pub fn at(&self, place: &Place) -> Progress {
        let switches =
            self.steps.iter().filter(|s| s.step.place == *place && s.step.phase == Phase::Switching);
        let states: Vec<StepState> = switches.map(|s| s.state).collect();
        if self.state == State::Succeeded {
            return Progress::New;
        }
        // A place without a step ran the release before the rollout.
        let is_new = !self.steps.is_empty() && states.iter().all(|state| *state == StepState::Done);
        match is_new {
            true => Progress::New,
            false if states.iter().any(|s| matches!(s, StepState::Started | StepState::Done)) => {
                Progress::Between
            }
            false => Progress::Old,
        }
    }
}

/// How far a place is in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// What ran before the rollout runs there.
    Old,
    /// It was begun to be switched, and is not yet.
    Between,
    /// What the rollout brings runs there.
    New,
}

impl Record for Rollout {
    const TABLE: Table = Table::Rollouts;
    fn key(&self) -> String {
        Self::key_of(&self.deployment, self.number)
    }
    fn open(&self) -> bool {
        !self.state.is_final()
    }
}
