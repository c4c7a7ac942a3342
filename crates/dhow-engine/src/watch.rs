//! watch: which tags are there? Nudges only say when to look; a periodic pass reads the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::{Repository, Tag};
use dhow_core::port::{Instant, SourceError};
use futures::stream::{self, StreamExt as _};

use crate::engine::Inner;
use crate::view::View;

/// When a repository is read next, and how often reading it failed in a row.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    failures: u32,
}

impl Inner {
    /// Reads the tags of every watched repository when it is due or nudged, and selects for its readers.
    pub(crate) async fn watch_loop(self: Arc<Self>) {
        let mut due: BTreeMap<Repository, Due> = BTreeMap::new();
        loop {
            let now = self.ports.clock.monotonic();
            let nudged: BTreeSet<Repository> =
                self.nudged.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(r, ())| r).collect();
            let watched = self.view().map(|v| v.watched()).unwrap_or_default();
            due.retain(|repository, _| watched.contains(repository));
            let turn: Vec<Repository> = watched
                .iter()
                .filter(|r| nudged.contains(*r) || due.get(*r).is_none_or(|d| d.at <= now))
                .cloned()
                .collect();
            self.selecting.fetch_add(1, Ordering::SeqCst);
            let results: Vec<(Repository, Result<(), SourceError>)> = stream::iter(turn)
                .map(|repository| async {
                    let result = self.read_tags(&repository).await;
                    (repository, result)
                })
                .buffer_unordered(16)
                .collect()
                .await;
            self.selecting.fetch_sub(1, Ordering::SeqCst);
            self.updates_ready.notify_one();
            let now = self.ports.clock.monotonic();
            for (repository, result) in results {
                let failures = due.get(&repository).map_or(0, |d| d.failures);
                let next = self.next_turn(&repository, result, failures, now);
                due.insert(repository, next);
            }
            let wait = self.wait_for(&due, now);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.tags_nudge.notified() => {}
                () = self.ports.clock.sleep(wait) => {}
            }
        }
    }

    fn wait_for(&self, due: &BTreeMap<Repository, Due>, now: Instant) -> Duration {
        let first = due.values().map(|d| d.at.since(now)).min();
        first
            .unwrap_or(self.settings.tags_interval)
            .clamp(Duration::from_millis(1), self.settings.tags_interval)
    }

    fn next_turn(
        &self,
        repository: &Repository,
        result: Result<(), SourceError>,
        failures: u32,
        now: Instant,
    ) -> Due {
        let interval = Self::jitter(self.settings.tags_interval);
        let (wait, failures) = match result {
            Ok(()) => (interval, 0),
            Err(error) => {
                tracing::warn!(%repository, %error, "the tags could not be read; what runs is not touched");
                let backoff = Duration::from_secs(1 << failures.min(6));
                let asked = match error {
                    SourceError::Unavailable { retry_after: Some(wait), .. } => wait,
                    _ => Duration::ZERO,
                };
                (Self::jitter(backoff).max(asked), failures + 1)
            }
        };
        Due { at: Instant(now.0 + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2)), failures }
    }

    async fn read_tags(self: &Arc<Self>, repository: &Repository) -> Result<(), SourceError> {
        let tags: Result<Vec<Tag>, SourceError> = self.ports.source.tags(repository).await;
        let Ok(view) = self.view() else { return tags.map(|_| ()) };
        let tags = match tags {
            Ok(tags) => Arc::new(tags),
            Err(error) => {
                self.unreadable(&view, repository, &error).await;
                return Err(error);
            }
        };
        for (service, environment) in view.readers(repository) {
            if let Err(error) = self.select(&service, &environment, Some((repository, &tags))).await {
                tracing::warn!(%service, %environment, %error, "nothing could be selected");
            }
        }
        Ok(())
    }

    /// Tells those who read a repository that its tags cannot be read.
    async fn unreadable(&self, view: &View, repository: &Repository, error: &SourceError) {
        for (service, environment) in view.readers(repository) {
            let Some(declared) = view.fleet.services.get(&service) else { continue };
            for artifact in declared.artifacts.values().filter(|a| a.repository == *repository) {
                if declared.rule(&environment, &artifact.name).is_none() {
                    continue;
                }
                if let Err(error) = self.select_failed(&service, &environment, &artifact.name, error).await {
                    tracing::warn!(%service, %environment, %error, "a failure could not be stored");
                }
            }
        }
    }
}
