use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::fleet::DesiredHash;
use crate::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, PersonName, Pin, Repository, ServiceName, Tag,
};
use crate::port::{CommitId, ContainerName, NewEvent, Place, StoreError, StoredEvent};

/// Number of the event that caused another.
pub type Cause = Option<u64>;

/// Why an update is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The policy selected it.
    Policy,
    /// It ran healthy upstream.
    Promotion,
    /// What was tried failed.
    Rollback,
    /// A person asked for it.
    Command,
}

#[expect(missing_docs, reason = "the fields are the words of the design and say what they are")]
/// A fact that is stored. Effects have a `...Started` before and a `...Done` or `...Failed` after them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The fleet's branch is at another commit.
    FleetMoved { from: Option<CommitId>, to: CommitId, forced: bool },
    /// Something in the fleet cannot be read, or can be read again (`problems` is empty).
    FleetProblems { problems: Vec<String> },
    /// A tag was seen for the first time.
    VersionSeen { repository: Repository, tag: Tag, digest: Digest },
    /// A tag points elsewhere than when it was first seen; it is not followed.
    TagMoved { repository: Repository, tag: Tag, known: Digest, now: Digest },
    /// An artifact's policy cannot select, or nothing can be reached.
    SelectFailed {
        service: ServiceName,
        environment: EnvironmentName,
        artifact: ArtifactName,
        reason: String,
    },
    /// An update is wanted.
    UpdateSelected {
        service: ServiceName,
        environment: EnvironmentName,
        pins: BTreeMap<ArtifactName, Pin>,
        why: Why,
        by: Option<PersonName>,
    },
    /// An update cannot be written into the fleet's files; it stays, and is tried again.
    UpdateFailed { service: ServiceName, environment: EnvironmentName, reason: String },
    /// A commit is about to be pushed.
    CommitStarted { commit: CommitId, parent: CommitId, updates: Vec<String> },
    /// It is on the branch.
    CommitDone { commit: CommitId, updates: Vec<String> },
    /// It is not; the updates are computed again.
    CommitFailed { commit: CommitId, reason: String },
    /// People are asked.
    ProposalOpened { id: String, service: ServiceName, environment: EnvironmentName, what: String },
    /// A person answered.
    Voted {
        id: String,
        service: ServiceName,
        environment: EnvironmentName,
        person: PersonName,
        approve: bool,
    },
    /// The proposal is decided, replaced or withdrawn.
    ProposalClosed { id: String, service: ServiceName, environment: EnvironmentName, outcome: String },
    /// A deployment runs already what the fleet says.
    Adopted { deployment: DeploymentId, hash: DesiredHash },
    /// A rollout was made.
    RolloutQueued { deployment: DeploymentId, rollout: u64, hash: DesiredHash, commit: CommitId },
    /// A rollout went on.
    RolloutMoved { deployment: DeploymentId, rollout: u64, from: State, to: State, reason: Option<String> },
    /// A step is about to be done (or undone).
    StepStarted { deployment: DeploymentId, rollout: u64, key: String, undo: bool },
    /// What the commands of a step said, since the last such event.
    StepSaid { deployment: DeploymentId, rollout: u64, key: String, lines: Vec<String> },
    /// It is done.
    StepDone { deployment: DeploymentId, rollout: u64, key: String, undo: bool },
    /// It failed.
    StepFailed { deployment: DeploymentId, rollout: u64, key: String, undo: bool, reason: String },
    /// What runs was changed by somebody else: it is brought back to its release.
    MendStarted { deployment: DeploymentId, reason: String },
    /// It runs its release again.
    MendDone { deployment: DeploymentId },
    /// It does not; tried again.
    MendFailed { deployment: DeploymentId, reason: String },
    /// A place did not do what it has to: nobody waits for it, and it is tried until it answers.
    DebtIncurred { deployment: DeploymentId, place: Place, owes: super::Owed, reason: String },
    /// It is done.
    DebtSettled { deployment: DeploymentId, place: Place },
    /// A person wrote it off: nothing more is done there.
    DebtWrittenOff { deployment: DeploymentId, place: Place, by: PersonName },
    /// A deployment's health changed after its rollout.
    HealthChanged { deployment: DeploymentId, health: super::Health, reason: Option<String> },
    /// A digest is not to be selected.
    Quarantined {
        service: ServiceName,
        environment: EnvironmentName,
        repository: Repository,
        digest: Digest,
        reason: String,
    },
    /// It may be selected again.
    Unquarantined {
        service: ServiceName,
        environment: EnvironmentName,
        repository: Repository,
        digest: Digest,
        by: Option<PersonName>,
    },
    /// A hold was set.
    Held { service: ServiceName, environment: EnvironmentName, reason: String, by: Option<PersonName> },
    /// A hold ended.
    HoldEnded { service: ServiceName, environment: EnvironmentName, reason: String, by: Option<PersonName> },
    /// A deployment's folder went; it waits, or is being removed.
    RemovalStarted { deployment: DeploymentId },
    /// It is removed.
    Removed { deployment: DeploymentId },
    /// A removal waits for a person.
    RemovalStalled { deployment: DeploymentId, reason: String },
    /// The gates of an environment changed, or a change of them waits.
    GatesChanged { environment: EnvironmentName, in_force: bool, reason: String },
    /// A deployment waits for a person although no rollout failed: it runs and differs at first sight, and so on.
    Stalled { deployment: DeploymentId, reason: String },
    /// A person is about to run a command inside of what runs. Its arguments may hold secrets and are not stored.
    CommandStarted {
        deployment: DeploymentId,
        place: Place,
        container: Option<ContainerName>,
        program: String,
        by: PersonName,
    },
}

impl Event {
    /// The version of the bodies' shapes that this build writes.
    pub const SCHEMA: u16 = 1;

    fn scope(&self) -> (Option<&ServiceName>, Option<&DeploymentId>, Option<&EnvironmentName>) {
        use Event::*;
        match self {
            FleetMoved { .. }
            | FleetProblems { .. }
            | VersionSeen { .. }
            | TagMoved { .. }
            | CommitStarted { .. }
            | CommitDone { .. }
            | CommitFailed { .. } => (None, None, None),
            GatesChanged { environment, .. } => (None, None, Some(environment)),
            SelectFailed { service, environment, .. }
            | UpdateSelected { service, environment, .. }
            | UpdateFailed { service, environment, .. }
            | ProposalOpened { service, environment, .. }
            | Voted { service, environment, .. }
            | ProposalClosed { service, environment, .. }
            | Quarantined { service, environment, .. }
            | Unquarantined { service, environment, .. }
            | Held { service, environment, .. }
            | HoldEnded { service, environment, .. } => (Some(service), None, Some(environment)),
            Adopted { deployment, .. }
            | RolloutQueued { deployment, .. }
            | RolloutMoved { deployment, .. }
            | StepStarted { deployment, .. }
            | StepSaid { deployment, .. }
            | StepDone { deployment, .. }
            | StepFailed { deployment, .. }
            | MendStarted { deployment, .. }
            | MendDone { deployment }
            | MendFailed { deployment, .. }
            | DebtIncurred { deployment, .. }
            | DebtSettled { deployment, .. }
            | DebtWrittenOff { deployment, .. }
            | HealthChanged { deployment, .. }
            | RemovalStarted { deployment }
            | Removed { deployment }
            | RemovalStalled { deployment, .. }
            | Stalled { deployment, .. }
            | CommandStarted { deployment, .. } => {
                (Some(&deployment.service), Some(deployment), Some(&deployment.environment))
            }
        }
    }

    /// The form in which it is stored.
    pub fn stored(&self, at: jiff::Timestamp, cause: Cause) -> Result<NewEvent, StoreError> {
        let body = serde_json::to_value(self)
            .map_err(|e| StoreError::Failed(format!("an event cannot be written as JSON: {e}")))?;
        let kind = body.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned();
        let (service, deployment, environment) = self.scope();
        Ok(NewEvent {
            kind,
            schema: Self::SCHEMA,
            service: service.cloned(),
            target: deployment.map(|d| d.target),
            environment: environment.cloned(),
            cause,
            at_ms: at.as_millisecond(),
            body,
        })
    }

    /// The fact in a stored event.
    pub fn read(stored: &StoredEvent) -> Result<Self, StoreError> {
        Self::deserialize(&stored.event.body).map_err(|e| StoreError::Unreadable {
            table: "events",
            key: stored.seq.to_string(),
            reason: e.to_string(),
        })
    }
}
