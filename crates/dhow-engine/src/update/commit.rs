//! The group commit: everything that is ready goes into one commit; a rejected push computes again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dhow_core::port::{CommitDraft, CommitId, PushOutcome, Relation, Scan, StoreExt as _, Table};
use dhow_core::rollout::{ApprovedHash, CommitAttempt, Event, UpdateRow, Why, WrittenPin};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::edits::Edits;
use super::message::message;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::sync::Head;
use crate::trouble::About;
use crate::view::{Scope, View};

/// What an attempt to commit came to.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// Nothing is ready.
    Nothing,
    /// All that was ready is on the branch: these.
    Done(Vec<UpdateRow>),
    /// The branch moved: compute again at once.
    Again,
}

/// Updates that are dropped at a time, once they are on the branch.
const DROPS: usize = 64;
/// Most times in a row that a push loses the race before it waits like any failure.
const RACES: u32 = 20;

impl Inner {
    /// Commits whenever something is ready; failures are tried again with backoff.
    pub(crate) async fn commit_loop(self: Arc<Self>) {
        let mut failures = 0u32;
        loop {
            let wait = if failures == 0 {
                self.settings.fleet_interval
            } else {
                self.jitter(Duration::from_millis(500 * (1 << failures.min(6))))
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.updates_ready.notified(), if failures == 0 => {}
                () = self.ports.clock.sleep(wait) => {}
            }
            self.gather().await;
            self.hurried.store(false, Ordering::SeqCst);
            failures = match self.commit_all().await {
                Ok(()) => 0,
                Err(error) => {
                    tracing::warn!(%error, "the fleet could not be updated; it is tried again");
                    failures + 1
                }
            };
        }
    }

    /// Waits while a pass still selects, so that its updates become one commit; at most the time that is set. What somebody
    /// asked for, and a way back, waits for no pass.
    async fn gather(&self) {
        let start = self.ports.clock.monotonic();
        while self.selecting.load(Ordering::SeqCst) > 0 && !self.hurried.load(Ordering::SeqCst) {
            let waited = self.ports.clock.monotonic().since(start);
            let Some(left) = self.settings.gather.checked_sub(waited).filter(|l| !l.is_zero()) else {
                return;
            };
            tokio::select! {
                () = self.updates_ready.notified() => {}
                () = self.ports.clock.sleep(left) => return,
            }
        }
    }

    /// Something is ready that somebody waits for.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        self.updates_ready.notify_one();
    }

    async fn commit_all(self: &Arc<Self>) -> Result<(), EngineError> {
        for _ in 0..RACES {
            let attempt = {
                let _one_at_a_time = self.committing.lock().await;
                self.recover_commits().await?;
                self.commit_once().await?
            };
            match attempt {
                Attempt::Nothing => return Ok(()),
                Attempt::Done(updates) => {
                    // Until the view has them, they stand for what is under way.
                    self.read_head().await?;
                    // Each waits for its lock and for the disk; what is ready next does not wait for their sum.
                    let drops = stream::iter(updates).map(Ok::<_, EngineError>);
                    drops
                        .try_for_each_concurrent(DROPS, |u| async move { self.drop_update(&u).await })
                        .await?;
                }
                Attempt::Again => {}
            }
        }
        Err(EngineError::Refused(format!("the branch moved {RACES} times in a row while an update was made")))
    }

    async fn commit_once(self: &Arc<Self>) -> Result<Attempt, EngineError> {
        let any = Scan { limit: Some(1), ..Scan::default() };
        if self.ports.store.scan(Table::Updates, any).await?.is_empty() {
            return Ok(Attempt::Nothing);
        }
        let Head { view, uncompared, unclear } = self.read_head().await?;
        let updates: Vec<UpdateRow> = self.ports.store.list(Scan::default()).await?;
        let going_back: BTreeSet<Scope> =
            updates.iter().filter(|u| u.why == Why::Rollback).map(UpdateRow::scope).collect();
        let mut edits = Edits::default();
        let mut included = Vec::new();
        for update in &updates {
            let scope = update.scope();
            let waits = going_back.contains(&scope) || view.fleet.broken_root || uncompared.contains(&scope);
            if update.why != Why::Rollback {
                if let Some(reason) = unclear.get(&scope) {
                    self.update_failed(update, reason.clone()).await?;
                }
                if waits || unclear.contains_key(&scope) {
                    continue;
                }
            }
            match self.edits_of(&view, update).await {
                Ok(Some(of_update)) => match edits.extend(of_update) {
                    Ok(()) => included.push(update),
                    Err(reason) => self.update_failed(update, reason).await?,
                },
                Ok(None) => self.drop_update(update).await?,
                Err(EngineError::Refused(reason)) => self.update_failed(update, reason).await?,
                Err(error) => return Err(error),
            }
        }
        if included.is_empty() {
            return Ok(Attempt::Nothing);
        }
        self.push_commit(&view, &edits, &included).await
    }

    /// Says that an update cannot be written. It stays, and is tried again; the others go on.
    async fn update_failed(&self, update: &UpdateRow, reason: String) -> Result<(), EngineError> {
        if !self.troubles.note(about(update), &reason) {
            return Ok(());
        }
        tracing::error!(service = %update.service, environment = %update.environment, reason, "an update cannot be written; it is tried again");
        let mut entry = Entry::new();
        entry.event(Event::UpdateFailed {
            service: update.service.clone(),
            environment: update.environment.clone(),
            reason,
        });
        Ok(self.journal.write(entry).await?)
    }

    /// The edits of an update; `None` where the fleet has it already, where a version of it was quarantined meanwhile,
    /// or where what was approved is not what would run.
    async fn edits_of(
        self: &Arc<Self>,
        view: &View,
        update: &UpdateRow,
    ) -> Result<Option<Edits>, EngineError> {
        let edits = self.edits(view, update).await?;
        let changes = edits.apply(view.tree.as_ref())?;
        if changes.is_empty() {
            return Ok(None);
        }
        if update.why != Why::Rollback
            && self.held_back(&update.service, &update.environment, &update.pins).await?
        {
            return Ok(None);
        }
        for pin in update.pins.values() {
            if self.is_quarantined(&update.service, &update.environment, pin).await? {
                return Ok(None);
            }
        }
        if update.proposal.is_some() {
            let hashes = self.would_be(view, &changes, &update.service, &update.environment).await?;
            for (id, hash) in hashes {
                let approved: Option<ApprovedHash> =
                    self.ports.store.load(&ApprovedHash::key_of(&id, &hash)).await?;
                if approved.is_none() {
                    tracing::info!(deployment = %id, "what was approved is not what would run now: people are asked again");
                    return Ok(None);
                }
            }
        }
        Ok(Some(edits))
    }

    async fn push_commit(
        self: &Arc<Self>,
        view: &View,
        edits: &Edits,
        updates: &[&UpdateRow],
    ) -> Result<Attempt, EngineError> {
        let parent = view.commit.clone();
        let changes = edits.apply(view.tree.as_ref())?;
        let draft = CommitDraft { parent: parent.clone(), changes, message: message(view, updates, edits) };
        let commit = self.ports.fleet.write(draft).await?;
        let keys: Vec<String> =
            updates.iter().map(|u| UpdateRow::key_of(&u.service, &u.environment, u.why)).collect();
        let attempt = CommitAttempt {
            commit: commit.clone(),
            parent: parent.clone(),
            updates: keys.iter().map(|k| (k.clone(), 0)).collect::<BTreeMap<_, _>>(),
            done: false,
        };
        let mut entry = Entry::new();
        for edit in edits.written().iter().filter(|edit| edit.tag_only) {
            let (deployment, artifact) = (edit.deployment.clone(), edit.artifact.clone());
            entry.put(&WrittenPin { deployment, artifact, pin: edit.pin.clone() })?;
        }
        entry.put(&attempt)?;
        // A remote that refuses and refuses is told once, not with every try.
        if !self.troubles.has(&About::Push) {
            entry.event(Event::CommitStarted {
                commit: commit.clone(),
                parent: parent.clone(),
                updates: keys,
            });
        }
        self.journal.write(entry).await?;
        match self.ports.fleet.push(&commit, &parent).await? {
            PushOutcome::Pushed => {
                self.troubles.over(&About::Push);
                self.commit_done(attempt).await?;
                Ok(Attempt::Done(updates.iter().copied().cloned().collect()))
            }
            PushOutcome::Moved => {
                self.commit_failed(&attempt, "somebody else pushed meanwhile", true).await?;
                Ok(Attempt::Again)
            }
            PushOutcome::Refused(reason) => {
                let news = self.troubles.note(About::Push, &reason);
                self.commit_failed(&attempt, &reason, news).await?;
                Err(EngineError::Refused(format!("the fleet's remote refuses the push: {reason}")))
            }
        }
    }

    async fn commit_done(&self, attempt: CommitAttempt) -> Result<(), EngineError> {
        let mut entry = Entry::new();
        entry.event(Event::CommitDone {
            commit: attempt.commit.clone(),
            updates: attempt.updates.keys().cloned().collect(),
        });
        entry.put(&CommitAttempt { done: true, ..attempt })?;
        Ok(self.journal.write(entry).await?)
    }

    /// The commit stays known as ours: a push that was taken for lost may arrive later.
    async fn commit_failed(
        &self,
        attempt: &CommitAttempt,
        reason: &str,
        news: bool,
    ) -> Result<(), EngineError> {
        let mut entry = Entry::new();
        if news {
            entry.event(Event::CommitFailed { commit: attempt.commit.clone(), reason: reason.to_owned() });
        }
        entry.put(&CommitAttempt { done: true, ..attempt.clone() })?;
        Ok(self.journal.write(entry).await?)
    }

    /// Removes an update, unless it was replaced meanwhile; what decides there is looked at again.
    async fn drop_update(self: &Arc<Self>, update: &UpdateRow) -> Result<(), EngineError> {
        let _held = self.scopes.lock(&update.scope()).await;
        let key = UpdateRow::key_of(&update.service, &update.environment, update.why);
        if self.ports.store.load::<UpdateRow>(&key).await?.as_ref() == Some(update) {
            let mut entry = Entry::new();
            entry.remove::<UpdateRow>(key);
            self.journal.write(entry).await?;
        }
        self.troubles.over(&about(update));
        self.select_soon(&update.service, &update.environment);
        Ok(())
    }

    /// Settles pushes whose end is not known, by looking for the commit in the remote's history.
    pub(crate) async fn recover_commits(&self) -> Result<(), EngineError> {
        let scan = Scan { prefix: "commit/".into(), open_only: true, ..Scan::default() };
        for attempt in self.ports.store.list::<CommitAttempt>(scan).await? {
            let head = self.ports.fleet.fetch().await?;
            match self.ports.fleet.relation(&attempt.commit, &head.commit).await? {
                Relation::Same | Relation::Ahead => self.commit_done(attempt).await?,
                Relation::Diverged => {
                    let reason = "it did not reach the remote; it is computed again";
                    self.commit_failed(&attempt, reason, true).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a commit is one of our own.
    pub(crate) async fn is_own(&self, commit: &CommitId) -> Result<bool, EngineError> {
        let attempt: Option<CommitAttempt> = self.ports.store.load(&CommitAttempt::key_of(commit)).await?;
        Ok(attempt.is_some())
    }
}

fn about(update: &UpdateRow) -> About {
    About::Update(update.service.clone(), update.environment.clone())
}
