//! watch: which tags are there? Nudges only say when to look; a periodic pass reads the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::{Repository, Tag};
use dhow_core::port::{CommitId, Instant, SourceError};
use tokio::task::{Id, JoinSet};

use crate::engine::Inner;

/// Repositories that are read at a time.
const WIDTH: usize = 32;

/// When each repository is read next, and how often reading it failed in a row. The earliest is found without looking
/// at the others.
#[derive(Debug, Default)]
struct Agenda {
    /// The fleet's commit that it was made for.
    commit: Option<CommitId>,
    at: BTreeMap<Repository, (Instant, u32)>,
    next: BTreeSet<(Instant, Repository)>,
    reading: BTreeSet<Repository>,
    tasks: HashMap<Id, Repository>,
}

impl Agenda {
    /// Takes over what is watched now; what is new is due at once.
    fn follow(&mut self, commit: &CommitId, watched: &BTreeSet<Repository>, now: Instant) {
        if self.commit.as_ref() == Some(commit) {
            return;
        }
        self.commit = Some(commit.clone());
        let gone: Vec<Repository> = self.at.keys().filter(|r| !watched.contains(*r)).cloned().collect();
        for repository in gone {
            if let Some((at, _)) = self.at.remove(&repository) {
                self.next.remove(&(at, repository));
            }
        }
        for repository in watched {
            if !self.at.contains_key(repository) {
                self.set(repository.clone(), now, 0);
            }
        }
    }

    fn set(&mut self, repository: Repository, at: Instant, failures: u32) {
        if let Some((before, _)) = self.at.insert(repository.clone(), (at, failures)) {
            self.next.remove(&(before, repository.clone()));
        }
        self.next.insert((at, repository));
    }

    /// The next repository that is due and is not being read.
    fn take(&mut self, now: Instant) -> Option<Repository> {
        let (_, repository) = self.next.first().filter(|(at, _)| *at <= now)?.clone();
        self.start(&repository);
        Some(repository)
    }

    fn start(&mut self, repository: &Repository) {
        if let Some((at, _)) = self.at.get(repository) {
            self.next.remove(&(*at, repository.clone()));
        }
        self.reading.insert(repository.clone());
    }
}

impl Inner {
    /// Reads the tags of every watched repository when it is due or nudged, and selects for its readers. A registry
    /// that is slow to answer holds up no other.
    pub(crate) async fn watch_loop(self: Arc<Self>) {
        let mut agenda = Agenda::default();
        let mut tasks: JoinSet<Result<(), SourceError>> = JoinSet::new();
        loop {
            self.begin_reading(&mut agenda, &mut tasks);
            let now = self.ports.clock.monotonic();
            let wait = agenda.next.first().map_or(self.settings.tags_interval, |(at, _)| at.since(now));
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(done) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                    self.selecting.fetch_sub(1, Ordering::SeqCst);
                    self.updates_ready.notify_one();
                    let (id, result) = match done {
                        Ok((id, result)) => (id, result),
                        Err(error) => (error.id(), Err(SourceError::Invalid(format!("reading ended: {error}")))),
                    };
                    self.read_again(&mut agenda, id, result);
                }
                () = self.tags_nudge.notified() => {}
                () = self.ports.clock.sleep(wait), if tasks.len() < WIDTH => {}
            }
        }
    }

    fn begin_reading(self: &Arc<Self>, agenda: &mut Agenda, tasks: &mut JoinSet<Result<(), SourceError>>) {
        let Ok(view) = self.view() else { return };
        if !self.followed.load(Ordering::SeqCst) {
            return;
        }
        let now = self.ports.clock.monotonic();
        agenda.follow(&view.commit, view.watched(), now);
        while tasks.len() < WIDTH {
            let Some(repository) = self.nudged_now(agenda).or_else(|| agenda.take(now)) else { return };
            let inner = Arc::clone(self);
            self.selecting.fetch_add(1, Ordering::SeqCst);
            let read = repository.clone();
            let task = tasks.spawn(async move { inner.read_tags(&read).await });
            agenda.tasks.insert(task.id(), repository);
        }
    }

    /// A nudged repository that is watched and is not being read: one that is being read is read again after that.
    fn nudged_now(&self, agenda: &mut Agenda) -> Option<Repository> {
        let mut nudged = self.nudged.lock().unwrap_or_else(PoisonError::into_inner);
        nudged.retain(|r| agenda.at.contains_key(r));
        let repository = nudged.iter().find(|r| !agenda.reading.contains(*r))?.clone();
        nudged.remove(&repository);
        agenda.start(&repository);
        Some(repository)
    }

    fn read_again(&self, agenda: &mut Agenda, task: Id, result: Result<(), SourceError>) {
        let Some(repository) = agenda.tasks.remove(&task) else { return };
        agenda.reading.remove(&repository);
        let Some((_, failures)) = agenda.at.get(&repository).copied() else { return };
        let (wait, failures) = match result {
            Ok(()) => (self.jitter(self.settings.tags_interval), 0),
            Err(error) => {
                tracing::warn!(%repository, %error, "the tags could not be read; what runs is not touched");
                let backoff = self.jitter(Duration::from_secs(1 << failures.min(6)));
                let asked = match error {
                    SourceError::Unavailable { retry_after: Some(wait), .. } => wait,
                    _ => Duration::ZERO,
                };
                (backoff.max(asked), failures + 1)
            }
        };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
        let at = Instant(self.ports.clock.monotonic().0.saturating_add(wait));
        agenda.set(repository, at, failures);
    }

    async fn read_tags(self: &Arc<Self>, repository: &Repository) -> Result<(), SourceError> {
        let tags = self.ports.source.tags(repository).await;
        let Ok(view) = self.view() else { return tags.map(drop) };
        let readers = view.readers(repository);
        let tags: Arc<Vec<Tag>> = match tags {
            Ok(tags) => Arc::new(tags),
            Err(error) => {
                for (service, environment) in readers {
                    self.trouble_with(&service, &environment, repository, &error).await;
                }
                return Err(error);
            }
        };
        for (service, environment) in readers {
            if let Err(error) = self.select(&service, &environment, Some((repository, &tags)), None).await {
                tracing::warn!(%service, %environment, %error, "nothing could be selected");
            }
        }
        Ok(())
    }
}
