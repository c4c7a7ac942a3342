//! Reading and appending events.

use dhow_core::noun::{EnvironmentName, ServiceName, TargetType};
use dhow_core::port::{EventQuery, NewEvent, StoreError, StoredEvent};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::problem::failed;
use crate::statement::{APPEND, events};

/// Events that a query without a limit returns at most.
const DEFAULT_LIMIT: usize = 1_000;

/// Events in the order of their numbers.
pub(crate) async fn read(pool: &SqlitePool, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
    let limit = if query.limit == 0 { DEFAULT_LIMIT } else { query.limit };
    let before = if query.before == 0 { u64::MAX } else { query.before };
    let found = sqlx::query(events(query.service.is_some(), query.environment.is_some(), query.descending))
        .bind(signed(query.after))
        .bind(signed(before))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(query.service.as_ref().map(ServiceName::as_str))
        .bind(query.environment.as_ref().map(EnvironmentName::as_str))
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    found.iter().map(decode).collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn decode(row: &sqlx::sqlite::SqliteRow) -> Result<StoredEvent, StoreError> {
    let seq: i64 = row.try_get(0).map_err(failed)?;
    let unreadable =
        |reason: String| StoreError::Unreadable { table: "events", key: seq.to_string(), reason };
    let text = |column: usize| row.try_get::<Option<String>, _>(column).map_err(failed);
    let schema: i64 = row.try_get(2).map_err(failed)?;
    let body: &str = row.try_get(8).map_err(failed)?;
    let event = NewEvent {
        kind: row.try_get(1).map_err(failed)?,
        schema: u16::try_from(schema).map_err(|e| unreadable(e.to_string()))?,
        service: text(3)?.map(ServiceName::new).transpose().map_err(|e| unreadable(e.to_string()))?,
        target: text(4)?
            .map(|t| t.parse::<TargetType>())
            .transpose()
            .map_err(|e| unreadable(e.to_string()))?,
        environment: text(5)?.map(EnvironmentName::new).transpose().map_err(|e| unreadable(e.to_string()))?,
        cause: row.try_get::<Option<i64>, _>(6).map_err(failed)?.map(i64::unsigned_abs),
        at_ms: row.try_get(7).map_err(failed)?,
        body: serde_json::from_str(body).map_err(|e| unreadable(e.to_string()))?,
    };
    Ok(StoredEvent { seq: seq.unsigned_abs(), event })
}

/// Appends an event inside a transaction and returns its number.
pub(crate) async fn append(connection: &mut SqliteConnection, event: &NewEvent) -> Result<u64, StoreError> {
    let done = sqlx::query(APPEND)
        .bind(&event.kind)
        .bind(i64::from(event.schema))
        .bind(event.service.as_ref().map(ServiceName::as_str))
        .bind(event.target.map(|t| t.as_str()))
        .bind(event.environment.as_ref().map(EnvironmentName::as_str))
        .bind(event.cause.map(signed))
        .bind(event.at_ms)
        .bind(event.body.to_string())
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(done.last_insert_rowid().unsigned_abs())
}
