//! How many deployments are created at a time (design rule 4: "at most 4 at a time on a place").

use std::collections::BTreeSet;

use dhow_core::noun::TargetType;
use dhow_core::port::{Place, Target};
use tokio::sync::OwnedSemaphorePermit;

use crate::semaphores::Semaphores;

/// What is created at every place, by type. Each type says how many a place takes.
#[derive(Debug, Default)]
pub(crate) struct Creations(Semaphores<(TargetType, Place)>);

impl Creations {
    /// Waits for its turn at all of these places; it ends when what is returned is dropped.
    pub async fn begin(&self, target: &dyn Target, places: &[Place]) -> Vec<OwnedSemaphorePermit> {
        // In one order: nobody holds what another one waits for, who holds what the first one waits for.
        let places: BTreeSet<&Place> = places.iter().collect();
        let mut permits = Vec::with_capacity(places.len());
        for place in places {
            let most = target.creations(place).max(1);
            permits.extend(self.0.wait((target.kind(), place.clone()), most).await);
        }
        permits
    }
}
