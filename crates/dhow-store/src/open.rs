//! Opening the database file, or saying why not.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_core::port::StoreError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};

use crate::problem::{damaged, foreign, newer, opening, system};
use crate::statement::LAST_EVENT;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// `Dhow` in ASCII, as the first migration writes it.
const APPLICATION: i64 = 0x4468_6f77;

/// Pages of the database that each connection keeps, in KiB (negative, as SQLite has it): what is read often is kept as
/// rows, once for all of them.
const CACHE: &str = "-512";

/// Connections that read.
const READERS: u32 = 4;

/// What an open database consists of.
pub(crate) struct Opened {
    pub(crate) writer: SqliteConnection,
    /// How the writer's connection is made anew.
    pub(crate) options: SqliteConnectOptions,
    pub(crate) readers: SqlitePool,
    pub(crate) last_event: u64,
}

/// Opens a database file, made where there is none.
pub(crate) async fn open(path: &Path) -> Result<Opened, StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => return Err(damaged(path, "the file is empty")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path).await?,
        Err(error) => return Err(system(path, "read", &error)),
    }
    check(path).await?;
    let mut writer = options(path).connect().await.map_err(|e| opening(path, &e))?;
    migrate(path, &mut writer).await?;
    let last_event: i64 =
        sqlx::query_scalar(LAST_EVENT).fetch_one(&mut writer).await.map_err(|e| opening(path, &e))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(|e| opening(path, &e))?;
    Ok(Opened { writer, options: options(path), readers, last_event: last_event.unsigned_abs() })
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", CACHE)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

/// Makes the database under another name and renames it: a file under the real name was whole once, so an empty one
/// is damage and not a beginning.
async fn create(path: &Path) -> Result<(), StoreError> {
    let beginning = with_suffix(path, ".new");
    for leftover in [beginning.clone(), with_suffix(&beginning, "-wal"), with_suffix(&beginning, "-shm")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system(&leftover, "removed", &error));
            }
            _ => {}
        }
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beginning);
    made.map_err(|e| system(&beginning, "made", &e))?;
    let mut connection = options(&beginning).connect().await.map_err(|e| opening(path, &e))?;
    migrate(path, &mut connection).await?;
    connection.close().await.map_err(|e| opening(path, &e))?;
    let into_place = || {
        File::open(&beginning)?.sync_all()?;
        fs::rename(&beginning, path)?;
        File::open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
    };
    into_place().map_err(|e| system(path, "made", &e))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether the file is Dhow's and not a newer Dhow's. SQLite itself refuses a file that is shorter than it should be.
/// It is read over a connection that cannot write: even choosing a journal mode would change another program's file.
async fn check(path: &Path) -> Result<(), StoreError> {
    let reading = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let mut connection = reading.connect().await.map_err(|e| opening(path, &e))?;
    let mut number = async |query: &'static str| {
        sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await.map_err(|e| opening(path, &e))
    };
    if number("PRAGMA application_id").await? != APPLICATION {
        return Err(foreign(path));
    }
    let found = number("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations").await?;
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    if found > known { Err(newer(path, found, known)) } else { Ok(()) }
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => opening(path, &error),
        other => damaged(path, &other.to_string()),
    })
}
