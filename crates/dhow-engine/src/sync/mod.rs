//! sync: what does the fleet say now, and what has to be rolled out for it?

mod authors;
mod deployment;
mod desired;
mod first_sight;
mod gates;
mod hold;
mod queue;
mod removal;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{CommitId, Relation, Scan, StoreExt as _};
use dhow_core::rollout::{DeploymentRow, Event, FleetCursor, Removal, Rollout, Unclear};
use futures::stream::{self, StreamExt as _};

pub(crate) use authors::COMMITS;
pub(crate) use deployment::ends;
pub(crate) use desired::{Unready, files_hash};
pub(crate) use hold::{until, until_resumed};
pub(crate) use removal::is_gone;

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::trouble::About;
use crate::view::{Scope, View};

/// Deployments that are compared at a time.
const WIDTH: usize = 16;
/// Longest time that a comparison waits for registries and tools: after it, it is tried again at the next look.
const PATIENCE: Duration = Duration::from_secs(10);

/// What of the fleet's head is still to be compared. Lost in a crash, and then made anew from the stored cursor.
#[derive(Default)]
pub(crate) struct Progress {
    /// The last look's end was read, and what was open is driven again.
    started: bool,
    /// The last commit of which everything was compared.
    cursor: Option<CommitId>,
    /// What changed since and nobody compares yet.
    work: Work,
    /// What is being compared. Where that was broken off it is still here, and compared again.
    under_way: Arc<Work>,
}

/// What is to be compared with a view.
#[derive(Clone, Default)]
struct Work {
    /// Deployments that changed.
    deployments: BTreeSet<DeploymentId>,
    /// Whether something may have gone, and what was there.
    removals: Removals,
    /// Who wrote what changed.
    authors: authors::Authors,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.deployments.is_empty() && matches!(self.removals, Removals::None)
    }

    /// Takes back what could not be compared; what is newer stays.
    fn take_back(&mut self, older: Self) {
        self.deployments.extend(older.deployments);
        self.authors.extend(older.authors);
        self.removals = older.removals.and(std::mem::take(&mut self.removals));
    }
}

/// Where to look for what has gone from the fleet.
#[derive(Clone, Default)]
enum Removals {
    /// Nothing has.
    #[default]
    None,
    /// Among what these views had, which came before one another.
    Since(Vec<Arc<View>>),
    /// Among everything that is stored.
    All,
}

/// More views than this are not kept for what they had: everything that is stored is looked through.
const VIEWS: usize = 8;

impl Removals {
    fn and(self, newer: Self) -> Self {
        match (self, newer) {
            (Self::None, other) | (other, Self::None) => other,
            (Self::Since(older), Self::Since(newer)) if older.len() + newer.len() <= VIEWS => {
                Self::Since([older, newer].concat())
            }
            _ => Self::All,
        }
    }
}

/// The fleet at its head, and what of it was not compared yet.
pub(crate) struct Head {
    pub view: Arc<View>,
    /// Of these it is not known what people meant: whether a hold follows from what they wrote.
    pub uncompared: BTreeSet<Scope>,
    /// The same of these, because something is silent: what, in words.
    pub unclear: BTreeMap<Scope, String>,
}

/// People wrote what cannot be told yet: a registry or a tool does not answer.
fn unclear_of_people(row: &DeploymentRow) -> bool {
    row.unclear == Some(Unclear::ForNow) && row.of_people && row.removal.is_none()
}

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
                        tracing::warn!(%error, "the fleet could not be read or compared; it is tried again");
                    }
                    failures + 1
                }
            };
            let interval = self.settings.fleet_interval;
            let wait = match failures {
                0 => interval,
                n => Duration::from_secs(1 << n.min(5)).min(interval),
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.fleet_nudge.notified() => {}
                () = self.ports.clock.sleep(self.jitter(wait)) => {}
            }
        }
    }

    /// Brings the view to the fleet's head, and makes the rollouts that follow from what changed. With nothing new it
    /// costs one look at the remote's head and one at what is open. What fails is compared again at the next call.
    pub(crate) async fn sync_once(self: &Arc<Self>) -> Result<(), EngineError> {
        let _one_at_a_time = self.comparing.lock().await;
        self.follow_head(&mut *self.syncing.lock().await).await?;
        while !self.catch_up().await? {}
        Ok(())
    }

    /// Brings the view to the fleet's head, for an edit of it; what follows from it is compared soon, by the loop.
    pub(crate) async fn read_head(self: &Arc<Self>) -> Result<Head, EngineError> {
        let mut progress = self.syncing.lock().await;
        if self.follow_head(&mut progress).await? {
            self.fleet_nudge.notify_one();
        }
        let ids = progress.work.deployments.iter().chain(&progress.under_way.deployments);
        let uncompared = ids.map(|id| (id.service.clone(), id.environment.clone())).collect();
        let view = self.view()?;
        drop(progress);
        let mut unclear = BTreeMap::new();
        if self.unclear.load(std::sync::atomic::Ordering::SeqCst) {
            let open: Vec<DeploymentRow> =
                self.ports.store.list(Scan { open_only: true, ..Scan::default() }).await?;
            let stands = |row: &DeploymentRow| view.fleet.deployments.contains_key(&row.id);
            for row in open.into_iter().filter(|row| unclear_of_people(row) && stands(row)) {
                let reason = row.reason.as_deref().unwrap_or("nothing answers");
                let told = format!("it waits until it can be told what {} should run: {reason}", row.id);
                unclear.insert((row.id.service, row.id.environment), told);
            }
        }
        Ok(Head { view, uncompared, unclear })
    }

    /// True: the head was another one.
    async fn follow_head(self: &Arc<Self>, progress: &mut Progress) -> Result<bool, EngineError> {
        if !progress.started {
            self.start_from_cursor(progress).await?;
        }
        let head = self.ports.fleet.fetch().await?;
        let moved = self.view().ok().is_none_or(|v| v.commit != head.commit);
        if moved {
            self.advance(progress, head.commit).await?;
        }
        if !self.followed.swap(true, std::sync::atomic::Ordering::SeqCst) {
            // Also where the head did not move: what was published meanwhile is looked for now, not a pass later.
            self.tags_nudge.notify_one();
        }
        Ok(moved)
    }

    /// Takes up where the last process stopped: the fleet as it was compared last, and the rollouts that were open.
    async fn start_from_cursor(self: &Arc<Self>, progress: &mut Progress) -> Result<(), EngineError> {
        self.load_gates().await?;
        self.load_servers().await?;
        let cursor: Option<FleetCursor> = self.ports.store.load(FleetCursor::KEY).await?;
        if let Some(FleetCursor { commit }) = cursor
            && let Ok(tree) = self.ports.fleet.tree(&commit).await
        {
            let view = self.build(commit.clone(), tree, None).await?;
            self.remember_servers(&view).await?;
            progress.cursor = Some(commit);
            self.set_view(view);
            self.kick_open().await?;
        }
        progress.started = true;
        Ok(())
    }

    async fn build(
        &self,
        commit: CommitId,
        tree: Arc<dyn fleet::Tree>,
        before: Option<(Arc<View>, Vec<String>)>,
    ) -> Result<Arc<View>, EngineError> {
        let work = move || {
            let fleet = match before {
                Some((view, changed)) => fleet::reload(&view.fleet, tree.as_ref(), &changed),
                None => fleet::load(tree.as_ref()),
            };
            Arc::new(View::new(commit, Arc::new(fleet), tree))
        };
        let built = tokio::task::spawn_blocking(work).await;
        built.map_err(|e| EngineError::Refused(format!("reading the fleet failed: {e}")))
    }

    /// Makes another commit the view, and notes what is to be compared for it.
    async fn advance(self: &Arc<Self>, progress: &mut Progress, commit: CommitId) -> Result<(), EngineError> {
        let tree = self.ports.fleet.tree(&commit).await?;
        let before = self.view().ok();
        let since = match &before {
            Some(view) => Some((Arc::clone(view), self.ports.fleet.changed(&view.commit, &commit).await?)),
            None => None,
        };
        let view = self.build(commit, tree, since).await?;
        let from = before.as_ref().map(|v| v.commit.clone());
        let forced = match &from {
            Some(from) => self.ports.fleet.relation(from, &view.commit).await? == Relation::Diverged,
            None => false,
        };
        if forced {
            tracing::warn!(commit = %view.commit, "the fleet's branch was force-pushed; it is followed");
        }
        let authors = self.authors(before.as_deref(), &view).await?;
        self.remember_people(&view).await?;
        self.remember_servers(&view).await?;
        self.take_gates(&view).await?;
        let mut entry = Entry::new();
        entry.event(Event::FleetMoved { from, to: view.commit.clone(), forced });
        let problems: Vec<String> = view.fleet.diagnostics.iter().map(ToString::to_string).collect();
        let told =
            before.as_ref().map_or(problems.is_empty(), |b| b.fleet.diagnostics == view.fleet.diagnostics);
        if !told {
            entry.event(Event::FleetProblems { problems });
        }
        self.journal.write(entry).await?;

        // Under a broken root nothing was compared.
        let mended = before.as_ref().is_some_and(|b| b.fleet.broken_root) && !view.fleet.broken_root;
        let same = |id: &DeploymentId| !mended && before.as_ref().is_some_and(|b| b.unchanged(&view, id));
        progress.work.deployments.extend(view.fleet.deployments.keys().filter(|id| !same(id)).cloned());
        progress.work.authors.extend(authors);
        let since = before.clone().map_or(Removals::All, |before| Removals::Since(vec![before]));
        progress.work.removals = std::mem::take(&mut progress.work.removals).and(since);
        self.troubles.retain(|about| match about {
            About::Fleet | About::Push => true,
            About::Update(service, _) | About::Select(service, ..) => {
                view.fleet.services.contains_key(service)
            }
        });
        let first = before.is_none();
        self.set_view(view);
        if first { self.kick_open().await } else { Ok(()) }
    }

    /// Compares what is still to be compared. A failure of one holds up no other, and is tried again. Meanwhile the view
    /// may move on: what changes then is compared at the next call. False: some of it has to be, to conclude anything.
    async fn catch_up(self: &Arc<Self>) -> Result<bool, EngineError> {
        let (view, work) = {
            let mut progress = self.syncing.lock().await;
            let view = self.view()?;
            let broken_off = std::mem::take(&mut progress.under_way);
            progress.work.take_back(Arc::unwrap_or_clone(broken_off));
            self.take_up_open(&mut progress.work, &view).await?;
            if progress.work.is_empty() && progress.cursor.as_ref() == Some(&view.commit) {
                return Ok(true);
            }
            progress.under_way = Arc::new(std::mem::take(&mut progress.work));
            (view, Arc::clone(&progress.under_way))
        };
        let (mut left, mut failed) = self.compare(&work, &view).await;
        if let Err(error) = self.sync_removals(&work.removals, &view, &work.authors).await {
            left.removals = work.removals.clone();
            failed = Some(error);
        }
        self.tags_nudge.notify_one();
        let mut progress = self.syncing.lock().await;
        progress.under_way = Arc::default();
        // What waited to be compared before it is written to.
        self.updates_ready.notify_one();
        let all = left.is_empty();
        if !all {
            left.authors = work.authors.clone();
            progress.work.take_back(left);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if all && progress.cursor.as_ref() != Some(&view.commit) {
            let mut entry = Entry::new();
            entry.put(&FleetCursor { commit: view.commit.clone() })?;
            self.journal.write(entry).await?;
            progress.cursor = Some(view.commit.clone());
        }
        Ok(all)
    }

    /// Drives what is open, and adds those of which it can perhaps be told now what they should run.
    async fn take_up_open(self: &Arc<Self>, work: &mut Work, view: &View) -> Result<(), EngineError> {
        let open: Vec<DeploymentRow> =
            self.ports.store.list(Scan { open_only: true, ..Scan::default() }).await?;
        let for_now = open.iter().any(|row| row.unclear == Some(Unclear::ForNow));
        self.unclear.store(for_now, std::sync::atomic::Ordering::SeqCst);
        for row in open {
            if row.mend.is_some() {
                self.kick(&row.id);
            }
            for debt in &row.debts {
                self.collect((row.id.clone(), debt.place.clone()), false);
            }
            if row.removal == Some(Removal::Going) {
                self.kick(&row.id);
            } else if row.unclear == Some(Unclear::NoTarget) && self.target(row.id.target).is_none() {
                // Nothing can be told of it by this dhow.
            } else if row.unclear.is_some() && view.fleet.deployments.contains_key(&row.id) {
                work.deployments.insert(row.id);
            }
        }
        Ok(())
    }

    /// Compares deployments, several at a time. The answer: those that failed or changed again meanwhile, and one of the
    /// failures, where there were any.
    async fn compare(self: &Arc<Self>, work: &Work, view: &Arc<View>) -> (Work, Option<EngineError>) {
        let authors = &work.authors;
        let ids: Vec<DeploymentId> = work.deployments.iter().cloned().collect();
        let results: Vec<(DeploymentId, Result<bool, EngineError>)> = stream::iter(ids)
            .map(|id| async move {
                let result = self.sync_deployment(view, &id, authors).await;
                (id, result)
            })
            .buffer_unordered(WIDTH)
            .collect()
            .await;
        let (mut left, mut failed) = (Work::default(), None);
        let mut scopes: BTreeSet<Scope> = BTreeSet::new();
        for (id, result) in results {
            match result {
                Ok(true) => {
                    scopes.insert((id.service, id.environment));
                }
                Ok(false) => {
                    left.deployments.insert(id);
                }
                Err(error) => {
                    tracing::warn!(deployment = %id, %error, "it could not be compared; it is tried again");
                    left.deployments.insert(id);
                    failed = Some(error);
                }
            }
        }
        for (service, environment) in &scopes {
            self.select_soon(service, environment);
        }
        (left, failed)
    }

    /// Drives every rollout that is open: after a restart nobody else does.
    async fn kick_open(self: &Arc<Self>) -> Result<(), EngineError> {
        let open: Vec<Rollout> = self.ports.store.list(Scan { open_only: true, ..Scan::default() }).await?;
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
