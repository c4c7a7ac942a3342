//! Rollouts: states and the total transition function, the facts that are stored, and the rows derived from them.

mod event;
mod record;
mod state;

pub use event::{Cause, Event, Why};
pub use record::{
    ApprovedHash, Ask, CheckFailure, CommitAttempt, DeploymentRow, FleetCursor, GatesRow, Health, Hold,
    HoldReason, Proof, Proposal, ProposalStatus, Quarantined, Release, Restore, Rollout, StepRecord,
    StepState, TagRow, UpdateRow, VersionRow, Vote,
};
pub use state::{IllegalTransition, State, Transition, next};
