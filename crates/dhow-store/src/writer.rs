//! The one task that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dhow_core::port::{Batch, Committed, Expect, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::cache::Writing;
use crate::problem::failed;
use crate::statement::TAKE_LEASE;
use crate::{event, row};

/// Most batches in one transaction: bounds how long the first of them waits.
const GROUP: usize = 256;

/// Something to write, and whom to tell when it is on disk.
pub(crate) enum Job {
    /// Rows and events.
    Commit(Batch, Writing, oneshot::Sender<Result<Committed, StoreError>>),
    /// The next epoch of a lease.
    Lease { name: String, holder: String, answer: oneshot::Sender<Result<u64, StoreError>> },
}

/// What a job gave, kept until the transaction is on disk.
enum Outcome {
    Commit(Result<Committed, StoreError>),
    Lease(Result<u64, StoreError>),
}

impl Job {
    fn answer(self, outcome: Result<Outcome, StoreError>) {
        // An asker that went away needs no answer; what it asked for is stored all the same.
        match (self, outcome) {
            (Self::Commit(_, writing, answer), Ok(Outcome::Commit(result))) => {
                // Before it is told: who hears of it reads it.
                drop(writing);
                drop(answer.send(result));
            }
            (Self::Lease { answer, .. }, Ok(Outcome::Lease(result))) => drop(answer.send(result)),
            (Self::Commit(_, writing, answer), Err(error)) => {
                drop(writing);
                drop(answer.send(Err(error)));
            }
            (Self::Lease { answer, .. }, Err(error)) => drop(answer.send(Err(error))),
            // No job has the other's outcome; its asker would see the channel closed.
            _ => {}
        }
    }
}

/// Writes until every store handle is gone, then closes the connection, which folds the log into the database.
pub(crate) async fn run(
    mut connection: SqliteConnection,
    options: SqliteConnectOptions,
    mut jobs: mpsc::Receiver<Job>,
    last: Arc<AtomicU64>,
) {
    let mut group = Vec::with_capacity(GROUP);
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let written = write(&mut connection, &group, &last).await;
        if written.is_err() {
            renew(&mut connection, &options).await;
        }
        match written {
            Ok(outcomes) => {
                for (job, outcome) in group.drain(..).zip(outcomes) {
                    job.answer(Ok(outcome));
                }
            }
            // One job may have spoilt it for all: each gets a transaction of its own.
            Err(_) if group.len() > 1 => {
                for job in group.drain(..) {
                    let outcome = write(&mut connection, std::slice::from_ref(&job), &last).await;
                    if outcome.is_err() {
                        renew(&mut connection, &options).await;
                    }
                    job.answer(outcome.and_then(|mut one| one.pop().ok_or_else(nothing)));
                }
            }
            Err(error) => group.drain(..).for_each(|job| job.answer(Err(error.clone()))),
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the database was not closed cleanly; nothing is lost");
    }
}

/// Where a commit fails (a full disk), SQLite has ended the transaction, and the connection counts it as open: nothing
/// more could be begun on it. Where there is no other connection either, the next job finds out.
async fn renew(connection: &mut SqliteConnection, options: &SqliteConnectOptions) {
    match options.connect().await {
        Ok(new) => drop(std::mem::replace(connection, new).close().await),
        Err(error) => tracing::warn!(%error, "the database could not be opened again after an error"),
    }
}

fn nothing() -> StoreError {
    StoreError::Failed("the writer gave no answer".into())
}

/// One transaction. A conflict fails its own batch only; any other error undoes everything.
async fn write(
    connection: &mut SqliteConnection,
    jobs: &[Job],
    last: &AtomicU64,
) -> Result<Vec<Outcome>, StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let mut newest = 0;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        outcomes.push(match job {
            // Nothing of it can conflict.
            Job::Commit(batch, ..) if batch.puts.iter().all(|put| put.expect == Expect::Any) => {
                let committed = store(&mut transaction, batch).await?;
                newest = newest.max(last_of(committed, batch));
                Outcome::Commit(Ok(committed))
            }
            Job::Commit(batch, ..) => {
                let mut savepoint = transaction.begin().await.map_err(failed)?;
                match store(&mut savepoint, batch).await {
                    Ok(committed) => {
                        savepoint.commit().await.map_err(failed)?;
                        newest = newest.max(last_of(committed, batch));
                        Outcome::Commit(Ok(committed))
                    }
                    Err(error @ StoreError::Conflict { .. }) => {
                        savepoint.rollback().await.map_err(failed)?;
                        Outcome::Commit(Err(error))
                    }
                    Err(error) => return Err(error),
                }
            }
            Job::Lease { name, holder, .. } => Outcome::Lease(Ok(sqlx::query_scalar::<_, i64>(TAKE_LEASE)
                .bind(name)
                .bind(holder)
                .bind(now_ms())
                .fetch_one(&mut *transaction)
                .await
                .map_err(failed)?
                .unsigned_abs())),
        });
    }
    transaction.commit().await.map_err(failed)?;
    last.fetch_max(newest, Ordering::AcqRel);
    Ok(outcomes)
}

/// Number of the last event of a batch; 0 where it has none.
fn last_of(committed: Committed, batch: &Batch) -> u64 {
    (committed.first_event + batch.events.len() as u64).saturating_sub(1)
}

/// Milliseconds since 1970; 1 where the clock is before that.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(1)
}

async fn store(connection: &mut SqliteConnection, batch: &Batch) -> Result<Committed, StoreError> {
    for put in &batch.puts {
        row::write(connection, put).await?;
    }
    let mut first_event = 0;
    for new in &batch.events {
        let seq = event::append(connection, new).await?;
        if first_event == 0 {
            first_event = seq;
        }
    }
    Ok(Committed { first_event })
}
