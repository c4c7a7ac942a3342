//! promote: bring what runs healthy upstream into an environment.

use dhow_core::noun::{EnvironmentName, ServiceName};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError};
use crate::update::Edits;
use crate::update::promote::Promotable;

impl Engine {
    /// Promotes now, where something can be promoted; says why where nothing can.
    pub async fn promote(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let view = inner.view()?;
        let gates = inner.gates(&view, environment);
        let Some(from) = gates.from.clone() else {
            return Err(EngineError::Refused(format!(
                "{environment} has no `from`: nothing is promoted into it"
            )));
        };
        match inner.promotable(&view, service, &from, environment, gates.soak).await? {
            Promotable::Nothing(reason) => {
                Err(EngineError::Refused(format!("nothing can be promoted: {reason}")))
            }
            Promotable::Set(pins) if Edits::set(&view, service, environment, &pins).is_empty() => {
                Ok(Outcome::new(format!("{environment} has already what runs in {from}")))
            }
            Promotable::Set(_) => {
                inner.select(service, environment, None, Some(actor.person.clone())).await?;
                Ok(Outcome::new(match gates.effective_approvals() {
                    Some(needs) => format!("proposed; it waits for {} approvals", needs.needed),
                    None => "it is committed next, then rolled out".into(),
                }))
            }
        }
    }
}
