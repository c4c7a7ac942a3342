//! `ps`: what runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::{Place, Process};
use dhow_core::report::{ProcessStatus, Processes, RoomProblem, Which};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};

use super::{PATIENCE, Spot, named};
use crate::engine::{Engine, EngineError};

/// Questions to one place at a time: one that hangs uses up its own share only.
const WIDTH: usize = 8;
/// How long all the questions to one place may take.
const WHOLE: Duration = Duration::from_secs(40);

impl Engine {
    /// What runs of a service, of an environment, or of all. A place that does not answer, or not in time, is named for
    /// each deployment there; the others are whole. Changes nothing.
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
        let mut places: BTreeMap<Place, Vec<Spot>> = BTreeMap::new();
        for spot in spots {
            places.entry(spot.place.clone()).or_default().push(spot);
        }
        let mut all = Processes::default();
        for (spot, answer) in join_all(places.into_values().map(at_place)).await.into_iter().flatten() {
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

/// What one place answers for each of its deployments. Once it was silent it is not asked any more.
async fn at_place(spots: Vec<Spot>) -> Vec<(Spot, Result<Vec<Process>, RoomProblem>)> {
    let silent = AtomicBool::new(false);
    let end = tokio::time::Instant::now() + WHOLE;
    let answers = stream::iter(spots).map(async |spot| {
        if silent.load(Ordering::Relaxed) {
            let told = format!("not asked: {} did not answer for another deployment", named(&spot.place));
            let problem = spot.problem(told);
            return (spot, Err(problem));
        }
        let asked = tokio::time::Instant::now();
        let answer = spot.ask(spot.target.processes(&spot.id, &spot.place));
        let answer = tokio::time::timeout_at(end, answer).await.unwrap_or_else(|_| {
            let told = format!("{} did not answer for all within {} s", named(&spot.place), WHOLE.as_secs());
            Err(spot.problem(told))
        });
        if answer.is_err() && asked.elapsed() >= PATIENCE {
            silent.store(true, Ordering::Relaxed);
        }
        (spot, answer)
    });
    answers.buffer_unordered(WIDTH).collect().await
}

fn order(one: &ProcessStatus) -> impl Ord + '_ {
    (&one.service, &one.environment, one.target, &one.place, &one.process.name)
}
