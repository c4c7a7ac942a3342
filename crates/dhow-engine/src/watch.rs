//! watch: which tags are there? Nudges only say when to look; a periodic pass reads the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dhow_core::noun::{EnvironmentName, Repository, ServiceName, Tag};
use dhow_core::port::{CommitId, Instant, SourceError};
use tokio::task::{Id, JoinSet};

use crate::engine::Inner;
use crate::select::follows;
use crate::view::View;

/// Repositories that are read at a time.
const WIDTH: usize = 32;
/// Where a repository has the tags that it had, and nothing was wanted of it then, all that decides is looked at again
/// with every so many readings only: that finds a tag that was written again, which is told.
const LOOK_AGAIN: u64 = 10;

/// What a reading of tags gave: a mark of these tags, where nothing is wanted of them until something changes.
type Settled = Option<u64>;
type Reading = Result<Settled, SourceError>;

/// When a repository is read next, and what came of it before.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// Readings in a row that failed.
    failures: u32,
    /// Readings since the process started.
    readings: u64,
    settled: Settled,
}

/// When each repository is read next, and how often reading it failed in a row. The earliest is found without looking
/// at the others.
#[derive(Debug, Default)]
struct Agenda {
    /// The fleet's commit that it was made for.
    commit: Option<CommitId>,
    at: BTreeMap<Repository, Due>,
    next: BTreeSet<(Instant, Repository)>,
    /// Those to be read now, whenever they are due.
    nudged: BTreeSet<Repository>,
    reading: BTreeSet<Repository>,
    /// Those that were nudged while they were read.
    again: BTreeSet<Repository>,
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
            if let Some(due) = self.at.remove(&repository) {
                self.next.remove(&(due.at, repository));
            }
        }
        for repository in watched {
            if !self.at.contains_key(repository) {
                self.set(
                    repository.clone(),
                    Due { at: now, failures: 0, readings: spread(repository), settled: None },
                );
            }
        }
    }

    fn set(&mut self, repository: Repository, due: Due) {
        if let Some(before) = self.at.insert(repository.clone(), due) {
            self.next.remove(&(before.at, repository.clone()));
        }
        self.next.insert((due.at, repository));
    }

    /// The next repository that is due and is not being read, and what is known of its tags.
    fn take(&mut self, now: Instant) -> Option<(Repository, Settled)> {
        let (_, repository) = self.next.first().filter(|(at, _)| *at <= now)?.clone();
        self.start(&repository);
        let due = self.at.get(&repository)?;
        let settled = due.settled.filter(|_| due.readings % LOOK_AGAIN != 0);
        Some((repository, settled))
    }

    fn start(&mut self, repository: &Repository) {
        if let Some(due) = self.at.get(repository) {
            self.next.remove(&(due.at, repository.clone()));
        }
        self.reading.insert(repository.clone());
    }

    /// One that is being read is read again after that.
    fn nudge(&mut self, repository: Repository) {
        match self.reading.contains(&repository) {
            true => self.again.insert(repository),
            false => self.nudged.insert(repository),
        };
    }

    /// A nudged repository that is watched and is not being read.
    fn take_nudged(&mut self) -> Option<Repository> {
        let repository = std::iter::from_fn(|| self.nudged.pop_first()).find(|r| self.at.contains_key(r))?;
        self.start(&repository);
        Some(repository)
    }

    fn ended(&mut self, repository: &Repository) {
        self.reading.remove(repository);
        if let Some(repository) = self.again.take(repository) {
            self.nudged.insert(repository);
        }
    }
}

impl Inner {
    /// Reads the tags of every watched repository when it is due or nudged, and selects for its readers. A registry
    /// that is slow to answer holds up no other.
    pub(crate) async fn watch_loop(self: Arc<Self>) {
        let mut agenda = Agenda::default();
        let mut tasks: JoinSet<Reading> = JoinSet::new();
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

    fn begin_reading(self: &Arc<Self>, agenda: &mut Agenda, tasks: &mut JoinSet<Reading>) {
        let Ok(view) = self.view() else { return };
        if !self.followed.load(Ordering::SeqCst) {
            return;
        }
        let now = self.ports.clock.monotonic();
        agenda.follow(&view.commit, view.watched(), now);
        let nudged = std::mem::take(&mut *self.nudged.lock().unwrap_or_else(PoisonError::into_inner));
        nudged.into_iter().for_each(|repository| agenda.nudge(repository));
        while tasks.len() < WIDTH {
            // Who nudges says that something is new, also where no tag is.
            let nudged = agenda.take_nudged().map(|repository| (repository, None));
            let Some((repository, settled)) = nudged.or_else(|| agenda.take(now)) else { return };
            let inner = Arc::clone(self);
            self.selecting.fetch_add(1, Ordering::SeqCst);
            let read = repository.clone();
            let task = tasks.spawn(async move { inner.read_tags(&read, settled).await });
            agenda.tasks.insert(task.id(), repository);
        }
    }

    fn read_again(&self, agenda: &mut Agenda, task: Id, result: Reading) {
        let Some(repository) = agenda.tasks.remove(&task) else { return };
        agenda.ended(&repository);
        let Some(due) = agenda.at.get(&repository).copied() else { return };
        let (wait, failures, settled) = match result {
            Ok(settled) => (self.jitter(self.settings.tags_interval), 0, settled),
            Err(error) => {
                tracing::warn!(%repository, %error, "the tags could not be read; what runs is not touched");
                let backoff = self.jitter(Duration::from_secs(1 << due.failures.min(6)));
                let asked = match error {
                    SourceError::Unavailable { retry_after: Some(wait), .. } => wait,
                    _ => Duration::ZERO,
                };
                (backoff.max(asked), due.failures + 1, None)
            }
        };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
        let at = Instant(self.ports.clock.monotonic().0.saturating_add(wait));
        agenda.set(repository, Due { at, failures, readings: due.readings + 1, settled });
    }

    /// Reads a repository's tags and selects for those who take versions from it. `settled`: where they are these,
    /// nothing is to be done.
    async fn read_tags(self: &Arc<Self>, repository: &Repository, settled: Settled) -> Reading {
        let tags = self.ports.source.tags(repository).await;
        let Ok(view) = self.view() else { return tags.map(|_| None) };
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
        let mark = mark(&tags);
        if settled == Some(mark) {
            return Ok(settled);
        }
        let mut nothing = true;
        for (service, environment) in readers {
            match self.select(&service, &environment, Some((repository, &tags)), None).await {
                Ok(settled) => nothing &= settled && !follows_one(&view, &service, &environment),
                Err(error) => {
                    tracing::warn!(%service, %environment, %error, "nothing could be selected");
                    nothing = false;
                }
            }
        }
        Ok(nothing.then_some(mark))
    }
}

/// Whether a policy of the service looks behind a tag that stays: what it is, no list of tags says.
fn follows_one(view: &View, service: &ServiceName, environment: &EnvironmentName) -> bool {
    let declared = view.fleet.services.get(service);
    let mut artifacts =
        declared.into_iter().flat_map(|service| service.artifacts.keys().map(move |a| (service, a)));
    artifacts.any(|(service, artifact)| service.rule(environment, artifact).is_some_and(follows))
}

/// Equal tags have equal marks, in this process.
fn mark(tags: &[Tag]) -> u64 {
    let mut hasher = DefaultHasher::new();
    tags.iter().for_each(|tag| tag.as_str().hash(&mut hasher));
    hasher.finish()
}

/// Where a repository begins to count: not all are looked at whole in the same pass.
fn spread(repository: &Repository) -> u64 {
    let mut hasher = DefaultHasher::new();
    repository.hash(&mut hasher);
    hasher.finish() % LOOK_AGAIN
}
