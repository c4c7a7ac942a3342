//! SQLite's errors in words for the person who has to act.

use std::path::Path;

use dhow_core::port::StoreError;

/// SQLite's code of an error, without its extension.
fn code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(|e| e.code()).and_then(|c| c.parse::<u32>().ok());
    code.map(|c| c & 0xff)
}

/// The usual error of a statement. A disk that is full or cannot be written (`SQLITE_FULL`, 13, and `SQLITE_READONLY`,
/// 8) undoes the statement and nothing else.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    StoreError::Failed(match code(&error) {
        Some(13) => format!(
            "the disk of the state directory is full ({error}); make room there, and it goes on by itself"
        ),
        Some(8) => format!(
            "the state directory cannot be written ({error}); mount it so that it can, and see whose it is"
        ),
        Some(11 | 26) => format!("the database is damaged ({error}); stop dhow. {WAY_OUT}"),
        _ => error.to_string(),
    })
}

/// What a person can do about a database that is damaged.
const WAY_OUT: &str = "Restore a copy of dhow.db together with dhow.db-wal, or move both away and start again: the state \
                       is rebuilt from the fleet and from what runs, but history, approvals, quarantine and tokens are lost";

/// A damaged file: `SQLITE_CORRUPT` (11) and `SQLITE_NOTADB` (26).
fn is_damage(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(11 | 26))
}

/// What a failure to open or to read a database file means.
pub(crate) fn opening(path: &Path, error: &sqlx::Error) -> StoreError {
    if is_damage(error) {
        damaged(path, &error.to_string())
    } else {
        StoreError::Failed(format!("{} cannot be opened: {error}", path.display()))
    }
}

/// A file that is not whole. It is never repaired: what was lost would not be known.
pub(crate) fn damaged(path: &Path, reason: &str) -> StoreError {
    let path = path.display();
    StoreError::Unusable(format!(
        "{path} is damaged or no database ({reason}); nothing was changed. {WAY_OUT}"
    ))
}

/// A database of another program.
pub(crate) fn foreign(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{} is a database of another program; give dhow a state directory of its own",
        path.display()
    ))
}

/// A database that a newer Dhow has written.
pub(crate) fn newer(path: &Path, found: i64, known: i64) -> StoreError {
    StoreError::Unusable(format!(
        "{} was written by a newer dhow: its schema is version {found}, this dhow knows up to {known}. Run that newer \
         dhow again, or restore the copy of the state directory from before the upgrade",
        path.display()
    ))
}

/// A folder that holds something else.
pub(crate) fn not_ours(directory: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{} is not empty, and no state of a dhow; nothing was changed. Give dhow a state directory of its own: one that \
         is not there yet is made",
        directory.display()
    ))
}

/// A file or folder that the system does not let us use.
pub(crate) fn system(path: &Path, doing: &str, error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("{} cannot be {doing}: {error}", path.display()))
}
