//! How many deployments are created at a time (design rule 4: "at most 4 at a time on a place").

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dhow_core::noun::TargetType;
use dhow_core::port::{Place, Target};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is created at every place, by type. Each type says how many a place takes.
#[derive(Debug, Default)]
pub(crate) struct Creations {
    places: Mutex<HashMap<(TargetType, Place), Arc<Semaphore>>>,
}

impl Creations {
    /// Waits for its turn at all of these places; it ends when what is returned is dropped.
    pub async fn begin(&self, target: &dyn Target, places: &[Place]) -> Vec<OwnedSemaphorePermit> {
        // In one order: nobody holds what another one waits for, who holds what the first one waits for.
        let places: BTreeSet<&Place> = places.iter().collect();
        let mut permits = Vec::with_capacity(places.len());
        for place in places {
            // A semaphore of these is never closed.
            permits.extend(self.at(target, place).acquire_owned().await);
        }
        permits
    }

    fn at(&self, target: &dyn Target, place: &Place) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = places
            .entry((target.kind(), place.clone()))
            .or_insert_with(|| Arc::new(Semaphore::new(target.creations(place).max(1))));
        Arc::clone(semaphore)
    }
}
