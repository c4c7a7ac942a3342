//! What the API asks, answered by the engine.

use async_trait::async_trait;
use dhow_core::noun::{EnvironmentName, ImageReference, ServiceName};
use dhow_core::port::EventQuery;
use dhow_engine::{Engine, EngineError, command};
use dhow_web::shape::{DeploymentPlan, HistoryEntry, QuarantineEntry, Status};
use dhow_web::{Actor, Control, ControlError, Outcome, RollbackTo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// The engine behind the API.
pub struct EngineControl {
    engine: Engine,
}

impl EngineControl {
    /// The API over this engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

fn failed(error: EngineError) -> ControlError {
    match error {
        EngineError::Refused(message) => ControlError::Refused(message),
        EngineError::NotFound(message) => ControlError::NotFound(message),
        EngineError::Store(_) | EngineError::Fleet(_) => ControlError::Failed(error.to_string()),
    }
}

/// The engine's view in the API's shape: the same JSON.
fn shape<T: Serialize, U: DeserializeOwned>(view: T) -> Result<U, ControlError> {
    serde_json::to_value(view)
        .and_then(serde_json::from_value)
        .map_err(|e| ControlError::Failed(format!("the answer has not the API's shape: {e}")))
}

fn actor(actor: Actor) -> command::Actor {
    command::Actor { person: actor.person }
}

fn outcome(result: Result<command::Outcome, EngineError>) -> Result<Outcome, ControlError> {
    result.map(|o| Outcome { message: o.message }).map_err(failed)
}

#[async_trait]
impl Control for EngineControl {
    async fn status(&self, service: Option<ServiceName>) -> Result<Status, ControlError> {
        shape(self.engine.status(service.as_ref()).await.map_err(failed)?)
    }

    async fn history(&self, query: EventQuery) -> Result<Vec<HistoryEntry>, ControlError> {
        shape(self.engine.history(query).await.map_err(failed)?)
    }

    async fn plan(
        &self,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Vec<DeploymentPlan>, ControlError> {
        shape(self.engine.plan(&service, &environment).await.map_err(failed)?)
    }

    async fn promote(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.promote(&actor(who), &service, &environment).await)
    }

    async fn approve(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        id: Option<String>,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.approve(&actor(who), &service, &environment, id.as_deref()).await)
    }

    async fn reject(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reason: Option<String>,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.reject(&actor(who), &service, &environment, None, reason.as_deref()).await)
    }

    async fn rollback(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        to: RollbackTo,
    ) -> Result<Outcome, ControlError> {
        let to = match to {
            RollbackTo::Previous => command::RollbackTo::Previous,
            RollbackTo::Version(version) => command::RollbackTo::Version(version),
        };
        outcome(self.engine.rollback(&actor(who), &service, &environment, &to).await)
    }

    async fn resume(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.resume(&actor(who), &service, &environment).await)
    }

    async fn sync(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.sync(&actor(who), &service, &environment).await)
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
        outcome(self.engine.quarantine_add(&actor(who), &service, &environment, &reference, &reason).await)
    }

    async fn quarantine_remove(
        &self,
        who: Actor,
        service: ServiceName,
        environment: EnvironmentName,
        reference: ImageReference,
    ) -> Result<Outcome, ControlError> {
        outcome(self.engine.quarantine_remove(&actor(who), &service, &environment, &reference).await)
    }

    fn ready(&self) -> bool {
        self.engine.ready()
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.engine.journal().newest()
    }
}
