//! Routes that are to be there, and are set again where a proxy lost them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_core::fleet::Front;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::Doors;
use crate::compose::RouteChange;
use crate::proxy;

type Key = (DeploymentId, Place);

/// A route that is to be there.
#[derive(Clone)]
struct Kept {
    change: RouteChange,
    /// It is to be compared in full, not only looked for.
    doubtful: bool,
    /// Of this very entry.
    generation: u64,
}

/// What is known of all routes.
#[derive(Default)]
struct Known {
    kept: BTreeMap<Key, Kept>,
    /// Rises with each change.
    generation: u64,
    /// When a route was changed last.
    changed: BTreeMap<Key, u64>,
    /// Routes that are being changed, by how many.
    changing: BTreeMap<Key, usize>,
}

impl Known {
    fn next(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}

/// Shared by whoever changes routes and by the watch over them.
#[derive(Clone, Default)]
struct All(Arc<Mutex<Known>>);

impl All {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the proxies while there is something to keep.
pub(super) struct Keeper {
    doors: Arc<Doors>,
    all: All,
    nudge: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A route is being changed: nothing is kept of it, and what somebody saw of it before counts no more.
pub(super) struct Changing<'a> {
    keeper: &'a Keeper,
    key: Key,
}

impl Changing<'_> {
    /// It is as it is to be from now on.
    pub(super) fn keep(self, change: RouteChange) {
        let mut known = self.keeper.all.lock();
        let generation = known.next();
        known.kept.insert(self.key.clone(), Kept { change, doubtful: false, generation });
        drop(known);
        self.keeper.watch();
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut known = self.keeper.all.lock();
        let generation = known.next();
        known.changed.insert(self.key.clone(), generation);
        if let Some(count) = known.changing.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                known.changing.remove(&self.key);
            }
        }
    }
}

impl Keeper {
    pub(super) fn new(doors: Arc<Doors>) -> Self {
        Self { doors, all: All::default(), nudge: Arc::default(), task: Mutex::default() }
    }

    /// A number for whoever is about to look at what runs.
    pub(super) fn ticket(&self) -> u64 {
        self.all.lock().generation
    }

    /// What somebody saw that is to be served: it is compared soon, unless the route was changed since the ticket was
    /// taken, or is being changed.
    pub(super) fn doubt(&self, change: RouteChange, ticket: u64) {
        let key = (change.deployment.clone(), change.place.clone());
        {
            let mut known = self.all.lock();
            if known.changing.contains_key(&key) || known.changed.get(&key).is_some_and(|at| *at > ticket) {
                return;
            }
            let generation = known.next();
            known.kept.insert(key, Kept { change, doubtful: true, generation });
        }
        self.nudge.notify_one();
        self.watch();
    }

    /// A route is being changed, or taken away, until this is dropped.
    pub(super) fn changing(&self, deployment: &DeploymentId, place: &Place) -> Changing<'_> {
        let key = (deployment.clone(), place.clone());
        let mut known = self.all.lock();
        known.kept.remove(&key);
        *known.changing.entry(key.clone()).or_default() += 1;
        drop(known);
        Changing { keeper: self, key }
    }

    fn watch(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.get_or_insert_with(|| {
            let (doors, all, nudge) = (Arc::clone(&self.doors), self.all.clone(), Arc::clone(&self.nudge));
            AbortOnDropHandle::new(tokio::spawn(watch(doors, all, nudge)))
        });
    }
}

async fn watch(doors: Arc<Doors>, all: All, nudge: Arc<Notify>) {
    // What a proxy lacks and cannot be given is said once.
    let mut told: BTreeMap<Key, String> = BTreeMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(doors.config.pause) => {}
            () = nudge.notified() => {}
        }
        let kept: BTreeMap<Key, Kept> = all.lock().kept.clone();
        for (front, kept) in by_front(&doors, kept) {
            look(&doors, front, kept, &all, &mut told).await;
        }
    }
}

/// What is kept, proxy by proxy.
fn by_front(doors: &Doors, kept: BTreeMap<Key, Kept>) -> Vec<(Front, Vec<(Key, Kept)>)> {
    let mut groups: Vec<(Front, Vec<(Key, Kept)>)> = Vec::new();
    for (key, one) in kept {
        let Some(front) = (doors.config.fronts)(&key.1) else { continue };
        let same = |known: &&mut (Front, Vec<(Key, Kept)>)| {
            known.0.at == front.at && known.0.settings == front.settings
        };
        match groups.iter_mut().find(same) {
            Some((_, group)) => group.push((key, one)),
            None => groups.push((front, vec![(key, one)])),
        }
    }
    groups
}

/// Looks at one proxy, and sets again what it lost.
async fn look(
    doors: &Doors,
    front: Front,
    kept: Vec<(Key, Kept)>,
    all: &All,
    told: &mut BTreeMap<Key, String>,
) {
    let Ok(door) = doors.open(front).await else { return };
    let Ok(present) = door.proxy.present().await else { return };
    for (key, kept) in kept {
        let there = present.contains(&proxy::route_name(&key.0));
        let fine = match (there, kept.doubtful) {
            (true, false) => true,
            (true, true) => matches!(doors.lacks(&kept.change).await, Ok(None)),
            (false, _) => false,
        };
        let result = if fine { Ok(Some(false)) } else { mend(doors, &key, &kept, all).await };
        match result {
            // Nothing may be mended now, or it is another's turn: it is compared again.
            Ok(None) => {}
            Ok(Some(mended)) => {
                told.remove(&key);
                let mut known = all.lock();
                let same = known.kept.get_mut(&key).filter(|now| now.generation == kept.generation);
                if let Some(now) = same {
                    now.doubtful = false;
                }
                drop(known);
                if mended {
                    tracing::warn!(deployment = %key.0, "the proxy had lost its route, or led elsewhere; it is set again");
                }
            }
            Err(TargetError::Fenced { .. }) => {
                all.lock().kept.remove(&key);
            }
            Err(error) => {
                let error = error.to_string();
                if told.get(&key) != Some(&error) {
                    tracing::warn!(deployment = %key.0, error, "the proxy lacks its route, and it cannot be set; it is tried again");
                    told.insert(key, error);
                }
            }
        }
    }
}

/// Sets a route again, unless it is being changed meanwhile: `None` then.
async fn mend(doors: &Doors, key: &Key, kept: &Kept, all: &All) -> Result<Option<bool>, TargetError> {
    let Some(epoch) = (doors.config.epoch)() else { return Ok(None) };
    // Whoever changes it meanwhile has forgotten it before, and holds the lock until it is as it is to be.
    let still = || all.lock().kept.get(key).is_some_and(|now| now.generation == kept.generation);
    let change = RouteChange { epoch, rollout: 0, ..kept.change.clone() };
    doors.lead(&change, &[], &change.new, &still).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use dhow_core::fleet::{Route, SecretReference};
    use dhow_core::port::{Executor, ExecutorError, Executors};
    use secrecy::SecretString;

    use super::*;
    use crate::front::fence::Turns;
    use crate::front::{FrontsConfig, Secrets};

    struct Nowhere;

    #[async_trait]
    impl Executors for Nowhere {
        async fn at(&self, place: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
            Err(ExecutorError::Refused(format!("there is no {place}")))
        }
    }

    #[async_trait]
    impl Secrets for Nowhere {
        async fn secret(&self, _: &SecretReference, _: &str) -> Result<SecretString, String> {
            Err("there is none".into())
        }
    }

    fn keeper() -> Keeper {
        let config = FrontsConfig {
            executors: Arc::new(Nowhere),
            fronts: Arc::new(|_| None),
            secrets: Arc::new(Nowhere),
            epoch: Arc::new(|| None),
            ready: Duration::ZERO,
            pause: Duration::from_secs(3_600),
        };
        Keeper::new(Arc::new(Doors { config, turns: Turns::default() }))
    }

    fn change(rollout: u64) -> RouteChange {
        RouteChange {
            deployment: "shop/compose/stage".parse().unwrap(),
            place: Place::Local,
            places: Vec::new(),
            route: Route::default(),
            old: Vec::new(),
            new: Vec::new(),
            rollout,
            epoch: 1,
        }
    }

    #[tokio::test]
    async fn what_was_seen_before_a_route_was_changed_is_not_kept() {
        let (keeper, one) = (keeper(), change(1));
        let kept = || keeper.all.lock().kept.values().map(|kept| kept.change.rollout).collect::<Vec<_>>();
        let before = keeper.ticket();
        let changing = keeper.changing(&one.deployment, &one.place);
        let meanwhile = keeper.ticket();
        keeper.doubt(change(8), meanwhile);
        assert!(kept().is_empty(), "it is being changed");
        changing.keep(one.clone());
        for stale in [before, meanwhile] {
            keeper.doubt(change(9), stale);
            assert_eq!(kept(), [1]);
        }
        keeper.doubt(change(2), keeper.ticket());
        assert_eq!(kept(), [2], "what was seen after it is");
        drop(keeper.changing(&one.deployment, &one.place));
        assert!(kept().is_empty(), "whoever fails to change it leaves nothing to be kept");
        keeper.doubt(change(3), keeper.ticket());
        assert_eq!(kept(), [3]);
    }

    #[tokio::test]
    async fn a_doubt_stays_while_nothing_may_be_mended() {
        let keeper = keeper();
        keeper.doubt(change(1), keeper.ticket());
        let kept = keeper.all.lock().kept.clone();
        let (key, one) = kept.first_key_value().unwrap();
        assert!(matches!(mend(&keeper.doors, key, one, &keeper.all).await, Ok(None)));
        assert!(keeper.all.lock().kept[key].doubtful);
    }
}
