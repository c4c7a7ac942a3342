//! The current rows: derived from events, stored in their transaction. One file a noun.

mod debt;
mod deployment;
mod fleet;
mod hold;
mod proposal;
mod release;
mod rollout;
mod update;
mod version;

pub use debt::{Debt, LeftBehind, Owed};
pub use deployment::{DeploymentRow, Health, Mend, Removal, StopRequest, Unclear};
pub use fleet::{FleetCursor, GatesRow, KnownPeople, KnownServers};
pub use hold::{Hold, HoldReason, Quarantined};
pub use proposal::{ApprovedHash, Ask, Proposal, ProposalBranch, ProposalStatus, Vote};
pub use release::{Proof, Release};
pub use rollout::{CheckFailure, End, Progress, Rollout, StepRecord, StepState, Verdict};
pub use update::{CommitAttempt, Restore, UpdateRow};
pub use version::{TagRow, VersionRow, WrittenPin};
