//! Who is looked at, and how much at a time: nudges are gathered, and a server that hangs takes no time from the others.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Instant, Place};
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Notify;

use crate::engine::Inner;
use crate::health::Looked;
use crate::permits::{Permit, Permits};

/// Deployments that are looked at at a time, of those that somebody changed.
const WIDTH: usize = 16;
/// Looks at one server at a time.
const EACH: usize = 4;
/// A server that did not answer is not asked again for this long.
const SILENT: Duration = Duration::from_secs(10);
/// When a look that found no room is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is looked at, and what waits for it.
#[derive(Debug)]
pub(crate) struct Looking {
    permits: Permits,
    silent: Mutex<HashMap<Place, Instant>>,
    waiting: Mutex<Waiting>,
    nudge: Notify,
}

/// Each deployment once, in the order of the nudges.
#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<DeploymentId>,
    known: BTreeSet<DeploymentId>,
}

impl Waiting {
    fn push(&mut self, id: DeploymentId) {
        if self.known.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    /// The first that nobody looks at now.
    fn pop(&mut self, busy: &HashSet<DeploymentId>) -> Option<DeploymentId> {
        let at = self.order.iter().position(|id| !busy.contains(id))?;
        let id = self.order.remove(at)?;
        self.known.remove(&id);
        Some(id)
    }
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            permits: Permits::new(EACH),
            silent: Mutex::default(),
            waiting: Mutex::default(),
            nudge: Notify::new(),
        }
    }
}

impl Looking {
    /// Room for a look at these places; none where one of them has no more.
    pub fn room(&self, places: &[Place]) -> Option<Permit> {
        self.permits.take(places)
    }

    /// A place did not answer.
    pub fn note_silence(&self, place: &Place, now: Instant) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone(), now);
    }

    /// It did not answer a moment ago.
    pub fn is_silent(&self, place: &Place, now: Instant) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(place).is_some_and(|at| now.since(*at) < SILENT)
    }

    fn push(&self, id: DeploymentId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn pop(&self, busy: &HashSet<DeploymentId>) -> Option<DeploymentId> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop(busy)
    }
}

impl Inner {
    /// Looks at the health of one deployment soon, beside whatever goes on. Many such nudges are one look.
    pub(crate) fn look_at_health(&self, id: &DeploymentId) {
        self.looking.push(id.clone());
        self.looking.nudge.notify_one();
    }

    /// Looks at what is nudged, until the end.
    pub(crate) async fn nudged_looks(self: Arc<Self>) {
        let mut running = FuturesUnordered::new();
        let mut busy = HashSet::new();
        let (mut later, mut again_at) = (Vec::new(), None);
        loop {
            while running.len() < WIDTH
                && let Some(id) = self.looking.pop(&busy)
            {
                busy.insert(id.clone());
                running.push(Arc::clone(&self).nudged_look(id));
            }
            let again = async {
                match again_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.looking.nudge.notified() => {}
                () = again => {
                    again_at = None;
                    later.drain(..).for_each(|id| self.looking.push(id));
                }
                Some((id, looked)) = running.next() => {
                    busy.remove(&id);
                    if looked == Looked::NoRoom {
                        again_at.get_or_insert_with(|| tokio::time::Instant::now() + AGAIN);
                        later.push(id);
                    }
                }
            }
        }
    }

    async fn nudged_look(self: Arc<Self>, id: DeploymentId) -> (DeploymentId, Looked) {
        let looked = match AssertUnwindSafe(self.look(&id, true)).catch_unwind().await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => {
                tracing::warn!(deployment = %id, %error, "its health could not be looked at");
                Looked::Done
            }
            Err(_) => {
                tracing::error!(deployment = %id, "a defect of dhow ended a look at its health");
                Looked::Done
            }
        };
        (id, looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nudges_of_one_deployment_are_one_look_and_it_waits_for_the_one_under_way() {
        let (shop, blog): (DeploymentId, DeploymentId) =
            ("shop/compose/stage".parse().unwrap(), "blog/compose/stage".parse().unwrap());
        let looking = Looking::default();
        (0..1_000).for_each(|_| looking.push(shop.clone()));
        looking.push(blog.clone());
        let busy = HashSet::from([shop.clone()]);
        assert_eq!(looking.pop(&busy), Some(blog));
        assert_eq!(looking.pop(&busy), None);
        assert_eq!(looking.pop(&HashSet::new()), Some(shop));
        assert_eq!(looking.pop(&HashSet::new()), None);
    }
}
