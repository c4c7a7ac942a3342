use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{
    Batch, Clock, Committed, EventQuery, Instant, Lease, Row, Scan, Store, StoreError, StoredEvent, Table,
};
use sqlx::SqlitePool;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cache::{Cache, Looked, Query, Rows};
use crate::lease::Leases;
use crate::open::{self, Opened};
use crate::writer::{self, Job};
use crate::{event, row};

/// Commits that may wait for the writer before the next asker waits too.
const QUEUE: usize = 1_024;

/// Tells the monotonic time.
type Now = Box<dyn Fn() -> Instant + Send + Sync>;

/// The store in one SQLite file.
///
/// *Assumption*: the caller holds the [`StateLock`](crate::StateLock) of the directory; one process writes.
/// *Crash*: every batch whose `commit` returned is there at the next opening; one that did not return is there whole or
/// not at all. A `commit` whose future is dropped may still be stored. Dropping the store stores what is queued.
pub struct SqliteStore {
    jobs: mpsc::Sender<Job>,
    readers: SqlitePool,
    cache: Cache,
    last: Arc<AtomicU64>,
    leases: Mutex<Leases>,
    now: Now,
    writer: JoinHandle<()>,
}

impl SqliteStore {
    /// Opens the database file, made where there is none, brought up to this version's schema where it is older.
    ///
    /// Errors: [`StoreError::Unusable`] where it is damaged, no database of Dhow's, or written by a newer Dhow: nothing
    /// is changed then; [`StoreError::Failed`] where the system refuses. A crash in it leaves a file that opens.
    pub async fn open(file: impl AsRef<Path>) -> Result<Self, StoreError> {
        let start = std::time::Instant::now();
        let now = move || Instant(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        Self::open_at(file.as_ref(), Box::new(now)).await
    }

    /// Opens it with leases that run on this clock.
    pub async fn open_with_clock(file: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_at(file.as_ref(), Box::new(move || clock.monotonic())).await
    }

    async fn open_at(file: &Path, now: Now) -> Result<Self, StoreError> {
        let Opened { writer, options, readers, last_event } = open::open(file).await?;
        let last = Arc::new(AtomicU64::new(last_event));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(writer::run(writer, options, queue, Arc::clone(&last)));
        Ok(Self { jobs, readers, cache: Cache::default(), last, leases: Mutex::default(), now, writer })
    }

    /// Stores what is queued, folds the log into the database file, and closes it.
    pub async fn close(self) {
        // The last connection to close folds the log in; a reader could not.
        self.readers.close().await;
        drop(self.jobs);
        if let Err(error) = self.writer.await {
            tracing::error!(%error, "the database's writer failed; what it had answered for is stored");
        }
    }

    /// The answer that is kept, else the one that is read, which is kept then.
    async fn answer(
        &self,
        query: Query,
        read: impl Future<Output = Result<Rows, StoreError>>,
    ) -> Result<Rows, StoreError> {
        match self.cache.look(&query) {
            Looked::Found(rows) => Ok(rows),
            Looked::Ask(number) => {
                let rows = read.await?;
                self.cache.keep(query, number, &rows);
                Ok(rows)
            }
        }
    }

    async fn ask<T>(
        &self,
        job: Job,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("the database's writer has stopped; start dhow again".into())
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let (answer, answered) = oneshot::channel();
        let writing = self.cache.write(&batch);
        self.ask(Job::Commit(batch, writing, answer), answered).await
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        let read = async { Ok(row::get(&self.readers, table, key).await?.into_iter().collect()) };
        let rows = self.answer(Query::get(table, key), read).await?;
        Ok(rows.first().cloned())
    }

    async fn scan(&self, table: Table, scan: Scan) -> Result<Vec<Row>, StoreError> {
        let read = async { Ok(row::scan(&self.readers, table, &scan).await?.into()) };
        let rows = match Query::scan(table, &scan) {
            Some(query) => self.answer(query, read).await?,
            None => read.await?,
        };
        Ok(rows.to_vec())
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        event::read(&self.readers, query).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        Ok(self.last.load(Ordering::Acquire))
    }

    async fn acquire(&self, name: &str, holder: &str, time: Duration) -> Result<Lease, StoreError> {
        // Held while the epoch is written: two takers of one lease must not both find it free.
        let mut leases = self.leases.lock().await;
        leases.check_free(name, holder, (self.now)())?;
        let (answer, answered) = oneshot::channel();
        let job = Job::Lease { name: name.into(), holder: holder.into(), answer };
        let epoch = self.ask(job, answered).await?;
        let lease = Lease { name: name.into(), holder: holder.into(), epoch };
        leases.take(&lease, (self.now)(), time);
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease, time: Duration) -> Result<(), StoreError> {
        self.leases.lock().await.renew(lease, (self.now)(), time)
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.leases.lock().await.release(lease);
        Ok(())
    }
}
