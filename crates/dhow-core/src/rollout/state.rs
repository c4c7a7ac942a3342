use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::port::Phase;

/// Where a rollout stands (design section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Waits for people.
    AwaitingApproval,
    /// Brings what is needed; nothing that a visitor sees.
    Preparing,
    /// Checks the candidate.
    Checking,
    /// Puts it in place.
    Switching,
    /// Checks it through the front door.
    Verifying,
    /// Cleans up.
    Finishing,
    /// Healthy at its release.
    Succeeded,
    /// Goes back to what ran before.
    RollingBack,
    /// What ran before runs again.
    RolledBack,
    /// A person must act.
    Stalled,
    /// A person ended it; what ran before runs again.
    Cancelled,
    /// A newer one took its place before it began.
    Superseded,
    /// People said no.
    Rejected,
}

impl State {
    /// All states.
    pub const ALL: [Self; 14] = [
        Self::Queued,
        Self::AwaitingApproval,
        Self::Preparing,
        Self::Checking,
        Self::Switching,
        Self::Verifying,
        Self::Finishing,
        Self::Succeeded,
        Self::RollingBack,
        Self::RolledBack,
        Self::Stalled,
        Self::Cancelled,
        Self::Superseded,
        Self::Rejected,
    ];

    /// Nothing more happens in it.
    pub fn is_final(self) -> bool {
        use State::*;
        matches!(self, Succeeded | RolledBack | Stalled | Cancelled | Superseded | Rejected)
    }

    /// It has not begun: a newer one may take its place.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::AwaitingApproval)
    }

    /// The phase whose steps are done in it.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::Preparing => Some(Phase::Preparing),
            Self::Checking => Some(Phase::Checking),
            Self::Switching => Some(Phase::Switching),
            Self::Verifying => Some(Phase::Verifying),
            Self::Finishing => Some(Phase::Finishing),
            _ => None,
        }
    }

    /// Its name in JSON and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Preparing => "preparing",
            Self::Checking => "checking",
            Self::Switching => "switching",
            Self::Verifying => "verifying",
            Self::Finishing => "finishing",
            Self::Succeeded => "succeeded",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Stalled => "stalled",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Its environment's gates want people's word.
    Gate,
    /// The gates are open: it begins.
    Begin,
    /// The phase it is in is done.
    Advance,
    /// What was switched is verified, and there are places that were not switched yet.
    NextPlaces,
    /// The phase it is in failed.
    Fail,
    /// A person ends it.
    Cancel,
    /// What ran before runs again, after a failure.
    Restored,
    /// What ran before runs again, after a cancel.
    RestoredAfterCancel,
    /// Nothing can be done without a person.
    Stall,
    /// A newer one takes its place.
    Supersede,
    /// People said no.
    Reject,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Self; 11] = [
        Self::Gate,
        Self::Begin,
        Self::Advance,
        Self::NextPlaces,
        Self::Fail,
        Self::Cancel,
        Self::Restored,
        Self::RestoredAfterCancel,
        Self::Stall,
        Self::Supersede,
        Self::Reject,
    ];
}

/// A transition that the state does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a rollout that is {state} cannot {transition:?}")]
pub struct IllegalTransition {
    /// Where it stands.
    pub state: State,
    /// What was to happen.
    pub transition: Transition,
}

/// The state after a transition. Total: every pair has an answer. Recovery replays it.
pub fn next(state: State, transition: Transition) -> Result<State, IllegalTransition> {
    use State::*;
    use Transition::*;
    Ok(match (state, transition) {
        (Queued, Gate) => AwaitingApproval,
        (Queued | AwaitingApproval, Begin) => Preparing,
        (Queued | AwaitingApproval, Supersede) => Superseded,
        (Queued | AwaitingApproval, Reject) => Rejected,
        (Preparing, Advance) => Checking,
        (Checking, Advance) => Switching,
        (Switching, Advance) => Verifying,
        (Verifying, Advance) => Finishing,
        (Verifying, NextPlaces) => Switching,
        (Finishing, Advance) => Succeeded,
        (Preparing | Checking | Switching | Verifying, Fail | Cancel) => RollingBack,
        (RollingBack, Restored) => RolledBack,
        (RollingBack, RestoredAfterCancel) => State::Cancelled,
        (RollingBack, Stall) => Stalled,
        _ => return Err(IllegalTransition { state, transition }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superseded_and_rejected_are_reached_from_waiting_states_only() {
        for state in State::ALL {
            for transition in [Transition::Supersede, Transition::Reject] {
                assert_eq!(next(state, transition).is_ok(), state.is_waiting(), "{state} {transition:?}");
            }
        }
    }

    #[test]
    fn a_final_state_has_no_way_out() {
        for state in State::ALL.into_iter().filter(|s| s.is_final()) {
            for transition in Transition::ALL {
                assert!(next(state, transition).is_err(), "{state} {transition:?}");
            }
        }
    }

    #[test]
    fn cancel_is_refused_once_finishing_began() {
        assert!(next(State::Verifying, Transition::Cancel).is_ok());
        assert!(next(State::Finishing, Transition::Cancel).is_err());
        assert!(next(State::Queued, Transition::Cancel).is_err());
    }

    #[test]
    fn finishing_is_never_rolled_back() {
        assert!(next(State::Finishing, Transition::Fail).is_err());
    }

    #[test]
    fn every_state_can_reach_a_final_one() {
        for start in State::ALL {
            let mut seen = vec![start];
            let mut at = 0;
            while at < seen.len() {
                for transition in Transition::ALL {
                    if let Ok(to) = next(seen[at], transition)
                        && !seen.contains(&to)
                    {
                        seen.push(to);
                    }
                }
                at += 1;
            }
            assert!(seen.iter().any(|s| s.is_final()), "{start}");
        }
    }
}
