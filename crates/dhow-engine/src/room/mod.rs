//! The engine room: what runs of a service, what it writes, and commands in it. Reads only, but for the commands, of
//! which the journal is told first. A place that does not answer is told, and holds up no other.

mod exec;
mod logs;
mod processes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::noun::{DeploymentId, EnvironmentName, ServiceName};
use dhow_core::port::{Place, Scan, StoreExt as _, Target, TargetError};
use dhow_core::report::{RoomProblem, Which};
use dhow_core::rollout::DeploymentRow;

use crate::engine::{Engine, EngineError, Inner};

/// Longest time that a place is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A deployment at one place.
#[derive(Clone)]
struct Spot {
    id: DeploymentId,
    place: Place,
    target: Arc<dyn Target>,
}

impl Spot {
    fn problem(&self, message: impl Into<String>) -> RoomProblem {
        RoomProblem { deployment: self.id.clone(), place: self.place.clone(), message: message.into() }
    }

    /// An answer of the place, or why there is none.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, TargetError>>) -> Result<T, RoomProblem> {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.problem(error.to_string())),
            Err(_) => Err(self.problem(format!(
                "{} did not answer within {} s",
                named(&self.place),
                PATIENCE.as_secs()
            ))),
        }
    }
}

/// A place's name in a message.
fn named(place: &Place) -> &str {
    match place {
        Place::Local => "this machine",
        Place::Server(server) => server.as_str(),
    }
}

impl Engine {
    /// Where deployments run, by service and environment.
    async fn spots(
        &self,
        service: Option<&ServiceName>,
        environment: Option<&EnvironmentName>,
        which: &Which,
    ) -> Result<Vec<Spot>, EngineError> {
        let prefix = service.map(|service| format!("{service}/")).unwrap_or_default();
        let rows: Vec<DeploymentRow> = self.store().list(Scan { prefix, ..Scan::default() }).await?;
        let mut spots = Vec::new();
        for row in rows {
            let fits = environment.is_none_or(|environment| row.id.environment == *environment)
                && which.target.is_none_or(|target| row.id.target == target);
            let Some(target) = self.inner.target(row.id.target).filter(|_| fits) else { continue };
            for place in self.inner.where_it_runs(&row).await? {
                spots.push(Spot { id: row.id.clone(), place, target: Arc::clone(&target) });
            }
        }
        Ok(spots)
    }

    /// The same for one service in one environment.
    ///
    /// # Errors
    /// `NotFound`: there is none, or it does not run on the server that is meant.
    async fn spots_of(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        which: &Which,
    ) -> Result<Vec<Spot>, EngineError> {
        let spots = self.spots(Some(service), Some(environment), which).await?;
        if spots.is_empty() {
            let kind = which.target.map(|target| format!(" of type {target}")).unwrap_or_default();
            return Err(EngineError::NotFound(format!(
                "nothing{kind} is known of {service} in {environment}; `dhow status` shows what there is"
            )));
        }
        let Some(server) = &which.server else { return Ok(spots) };
        let meant = |spot: &&Spot| spot.place == Place::Server(server.clone());
        let there: Vec<Spot> = spots.iter().filter(meant).cloned().collect();
        if there.is_empty() {
            let places: BTreeSet<&str> = spots.iter().map(|spot| named(&spot.place)).collect();
            let places = places.into_iter().collect::<Vec<_>>().join(", ");
            return Err(EngineError::NotFound(format!(
                "{service} in {environment} does not run on {server}; it runs on {places}"
            )));
        }
        Ok(there)
    }
}

impl Inner {
    /// Where a deployment runs, by the releases that it runs and should run. What was seen for the first time and waits
    /// has none: then by what the fleet says.
    async fn where_it_runs(self: &Arc<Self>, row: &DeploymentRow) -> Result<BTreeSet<Place>, EngineError> {
        let mut places: BTreeSet<Place> = row.debts.iter().map(|debt| debt.place.clone()).collect();
        for hash in [row.running, row.desired, row.healthy_release].into_iter().flatten() {
            if let Some(release) = self.release(&row.id, &hash).await? {
                places.extend(release.rendered.places);
            }
        }
        if places.is_empty()
            && let Ok(view) = self.view()
            && let Ok(ready) = self.desired(&view, &row.id).await?
        {
            places.extend(ready.rendered.places);
        }
        if places.is_empty() { self.places(&row.id).await } else { Ok(places) }
    }
}
