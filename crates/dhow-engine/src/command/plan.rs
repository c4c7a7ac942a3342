//! plan: what would change, without changing anything.

use dhow_core::noun::{DeploymentId, EnvironmentName, ServiceName};
use dhow_core::port::{Phase, Place};
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineError};
use crate::sync::Desired;

/// What would be done to one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentPlan {
    /// Which.
    pub deployment: DeploymentId,
    /// The release that it would run.
    pub release: Option<String>,
    /// The steps; empty: it runs what the fleet says.
    pub steps: Vec<PlannedStep>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// When.
    pub phase: Phase,
    /// Where.
    pub place: Place,
    /// What.
    pub summary: String,
}

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
                Desired::Ready(ready) => {
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
                Desired::NoVersion(artifact) => {
                    plan.notes.push(format!("no version of {artifact} is set yet"))
                }
                Desired::NoTarget => {
                    plan.notes.push(format!("this dhow does not run deployments of type {}", id.target))
                }
                Desired::Broken(reason) | Desired::Later(reason) => plan.notes.push(reason),
            }
            plans.push(plan);
        }
        if plans.is_empty() {
            return Err(EngineError::NotFound(format!("the fleet has no {service} in {environment}")));
        }
        Ok(plans)
    }
}
