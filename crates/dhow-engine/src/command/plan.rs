//! plan: what would change, without changing anything.

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::report::{DeploymentPlan, PlannedStep};

use crate::engine::{Engine, EngineError};
use crate::sync::Unready;

impl Engine {
    /// What a rollout of the fleet's head would do to a service in an environment.
    pub async fn plan(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Vec<DeploymentPlan>, EngineError> {
        let view = self.inner.view()?;
        let mut plans = Vec::new();
        for id in view.deployments_of(service, environment) {
            let mut plan = DeploymentPlan {
                deployment: id.clone(),
                release: None,
                steps: Vec::new(),
                notes: Vec::new(),
            };
            match self.inner.desired(&view, &id).await? {
                Ok(ready) => {
                    plan.release = Some(ready.hash.to_string());
                    plan.notes.clone_from(&ready.rendered.notes);
                    for place in &ready.rendered.places {
                        let observed = ready.target.observe(&ready.rendered, place).await.map_err(|e| {
                            EngineError::Refused(format!("what runs of {id} cannot be seen: {e}"))
                        })?;
                        let steps = ready.target.plan(&ready.rendered, &ready.hash, place, &observed);
                        plan.steps.extend(steps.into_iter().map(|s| PlannedStep {
                            phase: s.phase,
                            place: s.place,
                            summary: s.summary,
                        }));
                    }
                }
                Err(Unready::NoVersion(artifact)) => {
                    plan.notes.push(format!("no version of {artifact} is set yet"))
                }
                Err(Unready::NoTarget) => {
                    plan.notes.push(format!("this dhow does not run deployments of type {}", id.target))
                }
                Err(Unready::Broken(reason) | Unready::Missing(reason) | Unready::Later(reason)) => {
                    plan.notes.push(reason);
                }
            }
            plans.push(plan);
        }
        if plans.is_empty() {
            return Err(EngineError::NotFound(format!("the fleet has no {service} in {environment}")));
        }
        Ok(plans)
    }
}
