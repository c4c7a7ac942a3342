//! resume: lift a hold.

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{Event, Hold, UpdateRow, Why};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError};
use crate::journal::Entry;

impl Engine {
    /// Lifts the hold of a service in an environment: what was held goes on.
    pub async fn resume(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let view = inner.view()?;
        let held = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let key = Hold::key_of(service, environment);
        if inner.ports.store.load::<Hold>(&key).await?.is_none() {
            return Err(EngineError::NotFound(format!("nothing is held of {service} in {environment}")));
        }
        let mut entry = Entry::new();
        // Whoever resumes wants what the fleet says: an edit back that is not written yet is dropped.
        entry.remove::<UpdateRow>(UpdateRow::key_of(service, environment, Why::Rollback));
        entry.remove::<Hold>(key).event(Event::HoldEnded {
            service: service.clone(),
            environment: environment.clone(),
            reason: "resumed".into(),
            by: Some(actor.person.clone()),
        });
        // With the end of the hold: without it, nothing would ask for them again.
        let ids = view.deployments_of(service, environment);
        let begun = inner.stage_desired(&held, &view, &ids, None, &mut entry).await?;
        inner.journal.write(entry).await?;
        begun.iter().for_each(|id| inner.set_off(id));
        inner.mend_all(&held, &ids).await?;
        drop(held);
        inner.select_soon(service, environment);
        Ok(Outcome::new("resumed: what the fleet says is rolled out, and versions are selected again"))
    }
}
