//! `ps`: what runs.

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::report::{ProcessStatus, Processes, Which};
use futures::stream::{self, StreamExt as _};

use crate::engine::{Engine, EngineError};

/// Places that are asked at a time.
const WIDTH: usize = 64;

impl Engine {
    /// What runs of a service, of an environment, or of all. Changes nothing.
    ///
    /// # Errors
    /// `NotFound`: a service and an environment are given, and there is no such deployment.
    pub async fn processes(
        &self,
        service: Option<&ServiceName>,
        environment: Option<&EnvironmentName>,
    ) -> Result<Processes, EngineError> {
        let which = Which::default();
        let spots = match (service, environment) {
            (Some(service), Some(environment)) => self.spots_of(service, environment, &which).await?,
            _ => self.spots(service, environment, &which).await?,
        };
        let mut all = Processes::default();
        let mut answers = stream::iter(spots)
            .map(|spot| async move {
                let answer = spot.ask(spot.target.processes(&spot.id, &spot.place)).await;
                (spot, answer)
            })
            .buffer_unordered(WIDTH);
        while let Some((spot, answer)) = answers.next().await {
            match answer {
                Err(problem) => all.problems.push(problem),
                Ok(found) => all.processes.extend(found.into_iter().map(|process| ProcessStatus {
                    service: spot.id.service.clone(),
                    target: spot.id.target,
                    environment: spot.id.environment.clone(),
                    place: spot.place.clone(),
                    process,
                })),
            }
        }
        all.processes.sort_by(|a, b| order(a).cmp(&order(b)));
        all.problems.sort_by(|a, b| (&a.deployment, &a.place).cmp(&(&b.deployment, &b.place)));
        Ok(all)
    }
}

fn order(one: &ProcessStatus) -> impl Ord + '_ {
    (&one.service, &one.environment, one.target, &one.place, &one.process.name)
}
