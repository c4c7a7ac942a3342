//! `exec`: a command inside of what runs.

use std::collections::BTreeSet;

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::{Hearing, Inside};
use dhow_core::report::Which;
use dhow_core::rollout::Event;

use super::{Spot, named};
use crate::command::Actor;
use crate::engine::{Engine, EngineError};
use crate::journal::Entry;

/// Most characters of a program's name that are stored.
const PROGRAM: usize = 200;

impl Engine {
    /// Runs a command in one container of a service in an environment; who, where and which program is stored before.
    /// It goes past gates and approvals: callers let only an admin do it.
    ///
    /// # Errors
    /// `Refused`: it is not clear where, or it cannot be started. `NotFound`: no such deployment.
    pub async fn exec(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        which: &Which,
        inside: &Inside,
    ) -> Result<Hearing, EngineError> {
        let spots = self.spots_of(service, environment, which).await?;
        let spot = only(spots)?;
        let mut entry = Entry::new();
        entry.event(Event::CommandStarted {
            deployment: spot.id.clone(),
            place: spot.place.clone(),
            container: inside.container.clone(),
            program: inside.argv.first().map(|p| p.chars().take(PROGRAM).collect()).unwrap_or_default(),
            by: actor.person.clone(),
        });
        self.inner.journal.write(entry).await?;
        let hearing = spot.ask(spot.target.exec(&spot.id, &spot.place, inside)).await;
        hearing.map_err(|problem| EngineError::Refused(problem.message))
    }
}

/// The one place that is meant.
fn only(spots: Vec<Spot>) -> Result<Spot, EngineError> {
    let types: BTreeSet<String> = spots.iter().map(|spot| spot.id.target.to_string()).collect();
    let places: BTreeSet<&str> = spots.iter().map(|spot| named(&spot.place)).collect();
    let listed = |names: Vec<&str>| names.join(", ");
    if types.len() > 1 {
        let types = listed(types.iter().map(String::as_str).collect());
        return Err(EngineError::Refused(format!("in which deployment? Give --type; there are {types}")));
    }
    if places.len() > 1 {
        let places = listed(places.into_iter().collect());
        return Err(EngineError::Refused(format!("on which server? Give --server; it runs on {places}")));
    }
    spots.into_iter().next().ok_or_else(|| EngineError::NotFound("nothing runs".into()))
}
