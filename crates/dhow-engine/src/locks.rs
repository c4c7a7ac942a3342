//! One decision at a time about a service in an environment.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

/// Locks by key. A key nobody holds or waits for takes no memory for long: it is swept when the table doubles.
#[derive(Debug)]
pub struct Locks<K> {
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    locks: HashMap<K, Weak<tokio::sync::Mutex<()>>>,
    sweep_at: usize,
}

/// A lock that is held. What must not run without it asks for a reference to this.
#[derive(Debug)]
pub struct Held {
    _guard: OwnedMutexGuard<()>,
}

impl<K: Hash + Eq + Clone> Default for Locks<K> {
    fn default() -> Self {
        Self { table: Mutex::new(Table { locks: HashMap::new(), sweep_at: 1024 }) }
    }
}

impl<K: Hash + Eq + Clone> Locks<K> {
    /// Waits for the key; the lock ends when the guard is dropped. Not re-entrant.
    pub async fn lock(&self, key: &K) -> Held {
        Held { _guard: self.get(key).lock_owned().await }
    }

    fn get(&self, key: &K) -> Arc<tokio::sync::Mutex<()>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = table.locks.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        if table.locks.len() >= table.sweep_at {
            table.locks.retain(|_, lock| lock.strong_count() > 0);
            table.sweep_at = (table.locks.len() * 2).max(1024);
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        table.locks.insert(key.clone(), Arc::downgrade(&lock));
        lock
    }
}
