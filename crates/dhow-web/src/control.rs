use async_trait::async_trait;
use dhow_core::noun::{EnvironmentName, ImageReference, PersonName, ServerName, ServiceName};
use dhow_core::port::{EventQuery, Hearing, Inside, Tail};
use dhow_core::report::{LogEntries, Processes, Which};
pub use dhow_core::report::{Outcome, RollbackTo};
use thiserror::Error;
use tokio::sync::watch;

use crate::shape::{DeploymentPlan, HistoryEntry, QuarantineEntry, Status};
use crate::token::Role;

/// Who asks. The role was checked before; it is here for rules that look at it, such as an override by an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The person whose token it is.
    pub person: PersonName,
    /// What the token may do.
    pub role: Role,
}

/// Why an action was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// A rule forbids it: the sentence says which, and what to do.
    #[error("{0}")]
    Refused(String),
    /// There is no such service, environment, release or proposal.
    #[error("{0}")]
    NotFound(String),
    /// Something broke: a database, a registry, Git.
    #[error("{0}")]
    Failed(String),
}

/// What the API asks of the engine.
///
/// Environments come as they were asked for: [`Control::environment`] says which is meant, and the actions know it.
///
/// *Guarantees wanted*: an action that returned is stored; a crash in it leaves it done or not done, never half done.
/// The future of an action is not dropped when the caller goes away.
#[async_trait]
pub trait Control: Send + Sync {
    /// Every deployment, or those of one service, and what people are asked.
    async fn status(&self, service: Option<ServiceName>) -> Result<Status, ControlError>;

    /// Facts, in the order of the query.
    async fn history(&self, query: EventQuery) -> Result<Vec<HistoryEntry>, ControlError>;

    /// What a rollout would do now. Changes nothing.
    async fn plan(
        &self,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Vec<DeploymentPlan>, ControlError>;

    /// Gives the environment what runs healthy in the one before it.
    async fn promote(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError>;

    /// Says yes to a proposal; to the only open one where no id is given.
    async fn approve(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        id: Option<String>,
    ) -> Result<Outcome, ControlError>;

    /// Says no to what waits; to the only open question where no id is given.
    async fn reject(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        id: Option<String>,
        reason: Option<String>,
    ) -> Result<Outcome, ControlError>;

    /// Goes back to an earlier release.
    async fn rollback(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        to: RollbackTo,
    ) -> Result<Outcome, ControlError>;

    /// Ends a hold.
    async fn resume(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError>;

    /// Rolls out what waits for a person's word at first sight.
    async fn sync(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError>;

    /// Writes off all that a server owes.
    async fn forget_server(&self, actor: Actor, server: ServerName) -> Result<Outcome, ControlError>;

    /// What runs of a service, of an environment, or of all.
    async fn processes(
        &self,
        service: Option<ServiceName>,
        environment: Option<EnvironmentName>,
    ) -> Result<Processes, ControlError>;

    /// What a service writes in an environment. Dropping the lines ends all that stands behind them.
    async fn logs(
        &self,
        service: ServiceName,
        environment: EnvironmentName,
        which: Which,
        tail: Tail,
    ) -> Result<LogEntries, ControlError>;

    /// Runs a command inside of what runs. Who asked is stored before it starts.
    async fn exec(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        which: Which,
        inside: Inside,
    ) -> Result<Hearing, ControlError>;

    /// Digests that are not to be selected.
    async fn quarantine_list(
        &self,
        service: Option<ServiceName>,
    ) -> Result<Vec<QuarantineEntry>, ControlError>;

    /// Puts a digest into quarantine.
    async fn quarantine_add(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reference: ImageReference,
        reason: String,
    ) -> Result<Outcome, ControlError>;

    /// Takes a digest out of quarantine.
    async fn quarantine_remove(
        &self,
        actor: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reference: ImageReference,
    ) -> Result<Outcome, ControlError>;

    /// The environment that a spelling means in this fleet, as in `prod` for `production`.
    fn environment(&self, spelled: EnvironmentName) -> EnvironmentName;

    /// Why nothing is carried, for people; `None`: the fleet was read and the engine works.
    fn not_ready(&self) -> Option<&'static str>;

    /// Number of the newest event. It is set after the event can be read by [`Control::history`].
    fn newest(&self) -> watch::Receiver<u64>;
}
