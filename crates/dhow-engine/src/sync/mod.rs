//! sync: what does the fleet say now, and what has to be rolled out for it?

mod deployment;
mod desired;
mod gates;
mod removal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use dhow_core::fleet;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Relation, Scan, StoreExt as _};
use dhow_core::rollout::{DeploymentRow, Event, FleetCursor};
use futures::stream::{self, StreamExt as _};

pub(crate) use desired::Desired;
use gates::Touch;

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::trouble::About;
use crate::view::{Scope, View};

/// Deployments that are compared at a time.
const WIDTH: usize = 16;

impl Inner {
    /// Reads the fleet's head when it is due or nudged.
    pub(crate) async fn sync_loop(self: Arc<Self>) {
        let mut failures = 0u32;
        loop {
            failures = match self.sync_once().await {
                Ok(()) => {
                    self.troubles.over(&About::Fleet);
                    0
                }
                Err(error) => {
                    if self.troubles.note(About::Fleet, &error.to_string()) {
                        tracing::warn!(%error, "the fleet could not be read; what runs is not touched");
                    }
                    failures + 1
                }
            };
            let interval = self.settings.fleet_interval;
            let wait = match failures {
                0 => interval,
                n => std::time::Duration::from_secs(1 << n.min(5)).min(interval),
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.fleet_nudge.notified() => {}
                () = self.ports.clock.sleep(Self::jitter(wait)) => {}
            }
        }
    }

    /// Brings the view to the fleet's head, and makes the rollouts that follow from what changed. With nothing new it
    /// costs one look at the remote's head.
    pub(crate) async fn sync_once(self: &Arc<Self>) -> Result<(), EngineError> {
        let _one_at_a_time = self.syncing.lock().await;
        let head = self.ports.fleet.fetch().await?;
        let before = self.view().ok();
        // A view whose comparison failed half-way is compared again, as after a restart.
        let before = before.filter(|view| self.was_compared(view));
        if let Some(view) = before.as_ref().filter(|v| v.commit == head.commit) {
            return self.sync_later(view).await;
        }
        let tree = self.ports.fleet.tree(&head.commit).await?;
        let cursor: Option<FleetCursor> = self.ports.store.load(FleetCursor::KEY).await?;
        let changed = match &before {
            Some(view) => Some(self.ports.fleet.changed(&view.commit, &head.commit).await?),
            None => None,
        };
        let built = {
            let (before, tree, commit) = (before.clone(), Arc::clone(&tree), head.commit.clone());
            tokio::task::spawn_blocking(move || {
                let fleet = match (&before, &changed) {
                    (Some(view), Some(changed)) => fleet::reload(&view.fleet, tree.as_ref(), changed),
                    _ => fleet::load(tree.as_ref()),
                };
                Arc::new(View::new(commit, Arc::new(fleet), tree, before.as_deref()))
            })
            .await
        };
        let view = built.map_err(|e| EngineError::Refused(format!("reading the fleet failed: {e}")))?;
        let unchanged_since_last_time =
            before.is_none() && cursor.as_ref().is_some_and(|c| c.commit == view.commit);
        if unchanged_since_last_time {
            self.set_view(Arc::clone(&view));
            self.kick_waiting().await?;
            self.set_compared(&view);
            self.tags_nudge.notify_one();
            return Ok(());
        }
        self.compare(cursor, before, Arc::clone(&view)).await?;
        self.set_compared(&view);
        Ok(())
    }

    fn was_compared(&self, view: &View) -> bool {
        let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        compared.as_ref() == Some(&view.commit)
    }

    fn set_compared(&self, view: &View) {
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.commit.clone());
    }

    /// Asks again what could not be told when its commit was compared.
    async fn sync_later(self: &Arc<Self>, view: &Arc<View>) -> Result<(), EngineError> {
        let Some(mut cursor) = self.ports.store.load::<FleetCursor>(FleetCursor::KEY).await? else {
            return Ok(());
        };
        if cursor.later.is_empty() {
            return Ok(());
        }
        for (id, people) in std::mem::take(&mut cursor.later) {
            let by_person = !people.is_empty();
            let touch = Touch { people: people.clone(), by_person };
            if view.fleet.deployments.contains_key(&id) && self.sync_deployment(view, &id, touch).await? {
                cursor.later.insert(id, people);
            }
        }
        let mut entry = Entry::new();
        entry.put(&cursor)?;
        Ok(self.journal.write(entry).await?)
    }

    async fn compare(
        self: &Arc<Self>,
        cursor: Option<FleetCursor>,
        before: Option<Arc<View>>,
        view: Arc<View>,
    ) -> Result<(), EngineError> {
        let (last, later) = cursor.map_or_else(Default::default, |c| (Some(c.commit), c.later));
        let forced = match &last {
            Some(last) => self.ports.fleet.relation(last, &view.commit).await? == Relation::Diverged,
            None => false,
        };
        if forced {
            tracing::warn!(commit = %view.commit, "the fleet's branch was force-pushed; it is followed");
        }
        let mut entry = Entry::new();
        entry.event(Event::FleetMoved { from: last.clone(), to: view.commit.clone(), forced });
        if before.as_ref().map(|b| &b.fleet.diagnostics) != Some(&view.fleet.diagnostics) {
            let problems = view.fleet.diagnostics.iter().map(ToString::to_string).collect();
            entry.event(Event::FleetProblems { problems });
        }
        self.journal.write(entry).await?;
        self.take_gates(&view).await?;
        self.set_view(Arc::clone(&view));
        self.forget_troubles(&view);

        let affected: Vec<DeploymentId> = view
            .fleet
            .deployments
            .keys()
            .filter(|id| later.contains_key(*id) || before.as_ref().is_none_or(|b| !b.unchanged(&view, id)))
            .cloned()
            .collect();
        let authors = self.authors(last.as_ref(), &view).await?;
        let touches = affected.iter().map(|id| {
            let mut touch = view.fleet.deployments.get(id).map(|d| authors.of(d)).unwrap_or_default();
            touch.people.extend(later.get(id).into_iter().flatten().cloned());
            (id.clone(), touch)
        });
        let results: Vec<Result<Option<_>, EngineError>> = stream::iter(touches.collect::<Vec<_>>())
            .map(|(id, touch)| {
                let (inner, view) = (Arc::clone(self), Arc::clone(&view));
                async move {
                    let people = touch.people.clone();
                    let again = inner.sync_deployment(&view, &id, touch).await?;
                    Ok(again.then_some((id, people)))
                }
            })
            .buffer_unordered(WIDTH)
            .collect()
            .await;
        if before.is_none() {
            self.kick_waiting().await?;
        }
        let later =
            results.into_iter().filter_map(Result::transpose).collect::<Result<BTreeMap<_, _>, _>>()?;
        self.sync_removals(before.as_deref(), &view).await?;

        let mut entry = Entry::new();
        entry.put(&FleetCursor { commit: view.commit.clone(), later })?;
        self.journal.write(entry).await?;
        let scopes: BTreeSet<Scope> = affected.into_iter().map(|id| (id.service, id.environment)).collect();
        for (service, environment) in scopes {
            self.spawn_select(&service, &environment);
        }
        self.tags_nudge.notify_one();
        Ok(())
    }

    /// Forgets the troubles of what is not in the fleet any more.
    fn forget_troubles(&self, view: &View) {
        self.troubles.retain(|about| match about {
            About::Fleet => true,
            About::Select(service, environment, artifact) => {
                let declared = view.fleet.services.get(service);
                declared.is_some_and(|s| s.rule(environment, artifact).is_some())
                    && !view.deployments_of(service, environment).is_empty()
            }
        });
    }

    /// Selects for a service in an environment, beside whatever goes on.
    pub(crate) fn spawn_select(
        self: &Arc<Self>,
        service: &dhow_core::noun::ServiceName,
        environment: &dhow_core::noun::EnvironmentName,
    ) {
        let (inner, service, environment) = (Arc::clone(self), service.clone(), environment.clone());
        self.tracker.spawn(async move {
            if let Err(error) = inner.select(&service, &environment, None).await {
                tracing::debug!(%service, %environment, %error, "nothing was selected");
            }
        });
    }

    /// Looks again at every rollout that waits: what it waits for may have come.
    pub(crate) async fn kick_waiting(self: &Arc<Self>) -> Result<(), EngineError> {
        let open: Vec<dhow_core::rollout::Rollout> =
            self.ports.store.list(Scan { open_only: true, ..Scan::default() }).await?;
        for rollout in open {
            self.kick(&rollout.deployment);
        }
        Ok(())
    }

    /// The row of a deployment, or a new one.
    pub(crate) async fn row(&self, id: &DeploymentId) -> Result<DeploymentRow, EngineError> {
        let row: Option<DeploymentRow> = self.ports.store.load(&id.to_string()).await?;
        Ok(row.unwrap_or_else(|| DeploymentRow::new(id.clone(), self.now_ms())))
    }
}
