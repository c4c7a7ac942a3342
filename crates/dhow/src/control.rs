//! What the API asks, answered by the engine.

use async_trait::async_trait;
use dhow_core::noun::{EnvironmentName, ImageReference, ServerName, ServiceName};
use dhow_core::port::{EventQuery, Hearing, Inside, Tail};
use dhow_core::report::{LogEntries, Processes, Which};
use dhow_engine::{Engine, EngineError, command};
use dhow_web::shape::{DeploymentPlan, HistoryEntry, QuarantineEntry, Status};
use dhow_web::{Actor, Control, ControlError, Outcome, RollbackTo};
use tokio::sync::watch;

use crate::serve::Source;

/// The engine behind the API.
pub struct EngineControl {
    engine: Engine,
    source: Source,
}

impl EngineControl {
    /// The API over this engine and its source of versions.
    pub fn new(engine: Engine, source: Source) -> Self {
        Self { engine, source }
    }

    /// What nobody would do is not promised.
    fn works(&self) -> Result<(), ControlError> {
        match self.engine.taken_over() {
            Some(over) => Err(ControlError::Refused(over.into())),
            None => Ok(()),
        }
    }
}

fn failed(error: EngineError) -> ControlError {
    match error {
        EngineError::Refused(message) => ControlError::Refused(message),
        EngineError::NotFound(message) => ControlError::NotFound(message),
        EngineError::Store(_) | EngineError::Fleet(_) => ControlError::Failed(error.to_string()),
    }
}

fn actor(actor: Actor) -> command::Actor {
    command::Actor { person: actor.person }
}

fn outcome(result: Result<Outcome, EngineError>) -> Result<Outcome, ControlError> {
    result.map_err(failed)
}

#[async_trait]
impl Control for EngineControl {
    async fn status(&self, service: Option<ServiceName>) -> Result<Status, ControlError> {
        let mut status = self.engine.status(service.as_ref()).await.map_err(failed)?;
        status.problems.extend(self.source.problems());
        Ok(status)
    }

    async fn history(&self, mut query: EventQuery) -> Result<Vec<HistoryEntry>, ControlError> {
        query.environment = query.environment.map(|e| self.environment(e));
        self.engine.history(query).await.map_err(failed)
    }

    async fn plan(
        &self,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Vec<DeploymentPlan>, ControlError> {
        let environment = self.environment(environment);
        self.engine.plan(&service, &environment).await.map_err(failed)
    }

    async fn promote(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.promote(&actor(who), &service, &environment).await)
    }

    async fn approve(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        id: Option<String>,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.approve(&actor(who), &service, &environment, id.as_deref()).await)
    }

    async fn reject(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        id: Option<String>,
        reason: Option<String>,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(
            self.engine.reject(&actor(who), &service, &environment, id.as_deref(), reason.as_deref()).await,
        )
    }

    async fn rollback(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        to: RollbackTo,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.rollback(&actor(who), &service, &environment, &to).await)
    }

    async fn resume(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.resume(&actor(who), &service, &environment).await)
    }

    async fn sync(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.sync(&actor(who), &service, &environment).await)
    }

    async fn forget_server(&self, who: Actor, server: ServerName) -> Result<Outcome, ControlError> {
        self.works()?;
        outcome(self.engine.forget_server(&actor(who), &server).await)
    }

    async fn processes(
        &self,
        service: Option<ServiceName>,
        environment: Option<EnvironmentName>,
    ) -> Result<Processes, ControlError> {
        let environment = environment.map(|e| self.environment(e));
        self.engine.processes(service.as_ref(), environment.as_ref()).await.map_err(failed)
    }

    async fn logs(
        &self,
        service: ServiceName,
        environment: EnvironmentName,
        which: Which,
        tail: Tail,
    ) -> Result<LogEntries, ControlError> {
        let environment = self.environment(environment);
        self.engine.logs(&service, &environment, &which, &tail).await.map_err(failed)
    }

    async fn exec(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        which: Which,
        inside: Inside,
    ) -> Result<Hearing, ControlError> {
        let environment = self.environment(environment);
        let who = actor(who);
        self.engine.exec(&who, &service, &environment, &which, &inside).await.map_err(failed)
    }

    async fn quarantine_list(
        &self,
        service: Option<ServiceName>,
    ) -> Result<Vec<QuarantineEntry>, ControlError> {
        let rows = self.engine.quarantine_list(service.as_ref()).await.map_err(failed)?;
        Ok(rows
            .into_iter()
            .map(|row| QuarantineEntry {
                reference: row.pin.reference(),
                service: row.service,
                environment: row.environment,
                reason: row.reason,
                by: row.by,
                at: dhow_web::shape::rfc3339(row.at_ms),
            })
            .collect())
    }

    async fn quarantine_add(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reference: ImageReference,
        reason: String,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.quarantine_add(&actor(who), &service, &environment, &reference, &reason).await)
    }

    async fn quarantine_remove(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reference: ImageReference,
    ) -> Result<Outcome, ControlError> {
        self.works()?;
        let environment = self.environment(environment);
        outcome(self.engine.quarantine_remove(&actor(who), &service, &environment, &reference).await)
    }

    fn environment(&self, spelled: EnvironmentName) -> EnvironmentName {
        match self.engine.fleet() {
            Some(view) => view.fleet.environment(&spelled),
            None => spelled,
        }
    }

    fn not_ready(&self) -> Option<&'static str> {
        self.engine.not_ready()
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.engine.journal().newest()
    }
}
