//! Effects that are no commands run while a command holds a lock of the place.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dhow_core::port::{
    Command, Executor, ExecutorError, Lines, Output, Place, PlaceLock, Stream, TargetError,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::of_proxy;

/// Longest time that a lock is held.
const LIMIT: Duration = Duration::from_secs(3600);
/// Locks that are held at a place at once: each takes one of the few sessions of its connection, and what is done under it
/// needs others.
const AT_ONCE: usize = 2;

/// Whose turn it is at each place.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<Place, Arc<Semaphore>>>);

impl Turns {
    /// Waits for a turn, until it is dropped.
    pub(super) async fn take(&self, place: &Place) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(place.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        turns.acquire_owned().await.ok()
    }
}

/// Runs an effect under a lock of the executor's place. Whoever comes with a higher epoch ends the command that holds it,
/// and with that the effect is dropped; a lower epoch never begins it. A crash lets go of the lock.
pub(super) async fn hold<T>(
    executor: &dyn Executor,
    lock: &PlaceLock,
    effect: impl Future<Output = Result<T, TargetError>>,
) -> Result<T, TargetError> {
    let taken = Taken(Notify::new());
    // It says a line when it runs, which is when the lock is held, and never ends by itself.
    let command = Command { limit: LIMIT, ..Command::new(["tail", "-n", "1", "-f", "/proc/version"]) };
    let mut held = pin!(executor.run_locked(lock, &command, &taken));
    tokio::select! {
        ended = &mut held => return Err(lost(ended)),
        () = taken.0.notified() => {}
    }
    tokio::select! {
        biased;
        ended = &mut held => Err(lost(ended)),
        done = effect => done,
    }
}

/// Is told when the lock is held.
struct Taken(Notify);

impl Lines for Taken {
    fn line(&self, stream: Stream, _line: &str) {
        if stream == Stream::Out {
            self.0.notify_one();
        }
    }
}

fn lost(ended: Result<Output, ExecutorError>) -> TargetError {
    match ended {
        Err(error) => of_proxy(error.into()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(300).collect();
            TargetError::Passing(format!("the lock of the proxy's place was lost: {said}"))
        }
    }
}
