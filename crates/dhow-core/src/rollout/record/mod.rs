//! The current rows: derived from events, stored in their transaction. One file a noun.

mod deployment;
mod fleet;
mod hold;
mod proposal;
mod release;
mod rollout;
mod update;
mod version;

pub use deployment::{DeploymentRow, Health, Mend, Removal, StopRequest, Unclear};
pub use fleet::{FleetCursor, GatesRow, KnownPeople};
pub use hold::{Hold, HoldReason, Quarantined};
pub use proposal::{ApprovedHash, Ask, Proposal, ProposalBranch, ProposalStatus, Vote};
pub use release::{Proof, Release};
pub use rollout::{CheckFailure, End, Progress, Rollout, StepRecord, StepState};
pub use update::{CommitAttempt, Restore, UpdateRow};
pub use version::{TagRow, VersionRow, WrittenPin};
