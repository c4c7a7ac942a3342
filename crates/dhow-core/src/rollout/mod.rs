//! Rollouts: states and the total transition function, the facts that are stored, and the rows derived from them.

mod event;
mod record;
mod state;

pub use event::{Cause, Event, Why};
pub use record::{
    ApprovedHash, Ask, CheckFailure, CommitAttempt, Debt, DeploymentRow, End, FleetCursor, GatesRow, Health,
    Hold, HoldReason, KnownPeople, KnownServers, LeftBehind, Mend, Owed, Progress, Proof, Proposal,
    ProposalBranch, ProposalStatus, Quarantined, Release, Removal, Restore, Rollout, StepRecord, StepState,
    StopRequest, TagRow, Unclear, UpdateRow, Verdict, VersionRow, Vote, WrittenPin,
};
pub use state::{IllegalTransition, State, Transition, next};
