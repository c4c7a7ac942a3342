//! Reading and writing rows.

use dhow_core::port::{Expect, Put, Row, Scan, StoreError, Table};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::problem::failed;
use crate::statement::rows;

/// One row.
pub(crate) async fn get(pool: &SqlitePool, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
    let found = sqlx::query(rows(table).get).bind(key).fetch_optional(pool).await.map_err(failed)?;
    found.map(|row| read(&row)).transpose()
}

/// Rows in the order of their keys, which is that of their bytes (SQLite's `BINARY` collation).
pub(crate) async fn scan(pool: &SqlitePool, table: Table, scan: &Scan) -> Result<Vec<Row>, StoreError> {
    let statements = rows(table);
    let statement = match (scan.open_only, scan.descending) {
        (false, false) => statements.scan,
        (false, true) => statements.scan_down,
        (true, false) => statements.scan_open,
        (true, true) => statements.scan_open_down,
    };
    let mut from = scan.prefix.clone();
    let mut to = end_of(&scan.prefix);
    match scan.after.clone() {
        // The smallest key beyond `after`.
        Some(after) if !scan.descending => from = from.max(after + "\0"),
        Some(after) => to = Some(to.map_or(after.clone(), |to| to.min(after))),
        None => {}
    }
    let limit = scan.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let query = sqlx::query(statement).bind(from);
    // Every text sorts before every blob: an empty blob is "no end".
    let query = match to {
        Some(to) => query.bind(to),
        None => query.bind(Vec::<u8>::new()),
    };
    let found = query.bind(limit).fetch_all(pool).await.map_err(failed)?;
    found.iter().map(read).collect()
}

/// The smallest text that is beyond every text with this prefix; `None` where there is none.
fn end_of(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // A range of chars steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Row, StoreError> {
    let revision: i64 = row.try_get(1).map_err(failed)?;
    Ok(Row {
        key: row.try_get(0).map_err(failed)?,
        revision: revision.unsigned_abs(),
        open: row.try_get(2).map_err(failed)?,
        body: row.try_get::<&str, _>(3).map_err(failed)?.into(),
    })
}

/// Writes a row inside a transaction. `Conflict` where it is not as expected. Every statement is a change of threads:
/// what expects nothing is one.
pub(crate) async fn write(connection: &mut SqliteConnection, put: &Put) -> Result<(), StoreError> {
    let statements = rows(put.table);
    let expected = match put.expect {
        Expect::Any => None,
        Expect::Absent => Some(None),
        Expect::Revision(revision) => Some(Some(revision)),
    };
    if let Some(expected) = expected {
        let revision: Option<i64> = sqlx::query_scalar(statements.revision)
            .bind(&put.key)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        if revision.map(i64::unsigned_abs) != expected {
            return Err(StoreError::Conflict { table: put.table.as_str(), key: put.key.clone() });
        }
    }
    let query = match &put.body {
        Some(body) => sqlx::query(statements.put).bind(&put.key).bind(put.open).bind(&**body),
        None => sqlx::query(statements.remove).bind(&put.key),
    };
    query.execute(connection).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn the_end_of_a_prefix_is_beyond_every_key_that_has_it() {
        assert_eq!(end_of("a/").as_deref(), Some("a0"));
        assert_eq!(end_of("é").as_deref(), Some("ê"));
        assert_eq!(end_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(end_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of("\u{10ffff}"), None);
        assert_eq!(end_of(""), None);
    }
}
