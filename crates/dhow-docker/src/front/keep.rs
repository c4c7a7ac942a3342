//! Routes that are to be there, and are set again where a proxy lost them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

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
}

type All = Arc<Mutex<BTreeMap<Key, Kept>>>;

/// Looks at the proxies while there is something to keep.
pub(super) struct Keeper {
    doors: Arc<Doors>,
    all: All,
    nudge: Arc<Notify>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Keeper {
    pub(super) fn new(doors: Arc<Doors>) -> Self {
        Self { doors, all: All::default(), nudge: Arc::default(), task: Mutex::default() }
    }

    /// A route is as it is to be from now on; a doubtful one is compared soon, unless it is what was kept before.
    pub(super) fn keep(&self, change: RouteChange, doubtful: bool) {
        let key = (change.deployment.clone(), change.place.clone());
        {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(key, Kept { change, doubtful });
        }
        if doubtful {
            self.nudge.notify_one();
        }
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.get_or_insert_with(|| {
            let (doors, all, nudge) =
                (Arc::clone(&self.doors), Arc::clone(&self.all), Arc::clone(&self.nudge));
            AbortOnDropHandle::new(tokio::spawn(watch(doors, all, nudge)))
        });
    }

    /// A route is being changed, or is gone.
    pub(super) fn forget(&self, deployment: &DeploymentId, place: &Place) {
        let key = (deployment.clone(), place.clone());
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
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
        let kept: BTreeMap<Key, Kept> = all.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
        let result = if fine { Ok(false) } else { mend(doors, &key, &kept, all).await };
        match result {
            Ok(mended) => {
                told.remove(&key);
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                let same = all.get_mut(&key).filter(|now| now.change.new == kept.change.new);
                if let Some(now) = same {
                    now.doubtful = false;
                }
                if mended {
                    tracing::warn!(deployment = %key.0, "the proxy had lost its route, or led elsewhere; it is set again");
                }
            }
            Err(TargetError::Fenced { .. }) => {
                all.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
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

/// Sets a route again, unless it is being changed meanwhile.
async fn mend(doors: &Doors, key: &Key, kept: &Kept, all: &All) -> Result<bool, TargetError> {
    let Some(epoch) = (doors.config.epoch)() else { return Ok(false) };
    // Whoever changes it meanwhile has forgotten it before, and holds the lock until it is as it is to be.
    let still = || {
        let all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |now: &Kept| now.change.new == kept.change.new && now.change.route == kept.change.route;
        all.get(key).is_some_and(same)
    };
    let change = RouteChange { epoch, rollout: 0, ..kept.change.clone() };
    doors.lead(&change, &[], &change.new, &still).await
}
