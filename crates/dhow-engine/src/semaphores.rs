//! How many of a kind go on at once, each key with a share of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore for each key, made when it is first asked for and never closed.
#[derive(Debug)]
pub(crate) struct Semaphores<K>(Mutex<HashMap<K, Arc<Semaphore>>>);

impl<K> Default for Semaphores<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Semaphores<K> {
    /// A permit of this key, now; none where all of its permits are out. The first call for a key says how many it has.
    pub fn take(&self, key: K, size: usize) -> Option<OwnedSemaphorePermit> {
        self.of(key, size).try_acquire_owned().ok()
    }

    /// Waits for a permit of this key. It is none only where a semaphore was closed, which never happens.
    pub async fn wait(&self, key: K, size: usize) -> Option<OwnedSemaphorePermit> {
        self.of(key, size).acquire_owned().await.ok()
    }

    fn of(&self, key: K, size: usize) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }
}
