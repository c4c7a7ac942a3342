use dhow_core::port::Table;

/// The statements of one table of rows. All are fixed texts: nothing from outside ever becomes SQL.
///
/// A scan reads `?1 <= key < ?2`, at most `?3` rows.
pub(crate) struct RowStatements {
    pub(crate) get: &'static str,
    pub(crate) revision: &'static str,
    /// Writes a row whatever it was, and counts it.
    pub(crate) put: &'static str,
    pub(crate) remove: &'static str,
    pub(crate) scan: &'static str,
    pub(crate) scan_down: &'static str,
    pub(crate) scan_open: &'static str,
    pub(crate) scan_open_down: &'static str,
}

macro_rules! rows {
    ($table:literal) => {
        &RowStatements {
            get: concat!("SELECT key, revision, open, body FROM ", $table, " WHERE key = ?1"),
            revision: concat!("SELECT revision FROM ", $table, " WHERE key = ?1"),
            put: concat!(
                "INSERT INTO ",
                $table,
                " (key, revision, open, body) VALUES (?1, 1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET ",
                "revision = revision + 1, open = excluded.open, body = excluded.body"
            ),
            remove: concat!("DELETE FROM ", $table, " WHERE key = ?1"),
            scan: concat!(
                "SELECT key, revision, open, body FROM ",
                $table,
                " WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
            ),
            scan_down: concat!(
                "SELECT key, revision, open, body FROM ",
                $table,
                " WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
            ),
            scan_open: concat!(
                "SELECT key, revision, open, body FROM ",
                $table,
                " INDEXED BY ",
                $table,
                "_open WHERE open = 1 AND key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
            ),
            scan_open_down: concat!(
                "SELECT key, revision, open, body FROM ",
                $table,
                " INDEXED BY ",
                $table,
                "_open WHERE open = 1 AND key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
            ),
        }
    };
}

/// The statements of a table.
pub(crate) fn rows(table: Table) -> &'static RowStatements {
    match table {
        Table::Deployments => rows!("deployments"),
        Table::Rollouts => rows!("rollouts"),
        Table::Releases => rows!("releases"),
        Table::Proofs => rows!("proofs"),
        Table::Tags => rows!("tags"),
        Table::Versions => rows!("versions"),
        Table::Updates => rows!("updates"),
        Table::Proposals => rows!("proposals"),
        Table::Approvals => rows!("approvals"),
        Table::Quarantine => rows!("quarantine"),
        Table::Holds => rows!("holds"),
        Table::Gates => rows!("gates"),
        Table::Tokens => rows!("tokens"),
        Table::Cursors => rows!("cursors"),
    }
}

/// Appends an event.
pub(crate) const APPEND: &str = "INSERT INTO events (kind, schema, service, target, environment, cause, at_ms, body) \
                                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

macro_rules! events {
    ($filter:literal, $order:literal) => {
        concat!(
            "SELECT seq, kind, schema, service, target, environment, cause, at_ms, body FROM events ",
            $filter,
            " seq > ?1 AND seq < ?2 ORDER BY seq ",
            $order,
            " LIMIT ?3"
        )
    };
}

/// Reads events `?1 < seq < ?2`, at most `?3`, of service `?4` and environment `?5` where they are asked for.
pub(crate) fn events(service: bool, environment: bool, descending: bool) -> &'static str {
    match (service, environment, descending) {
        (false, false, false) => events!("WHERE ?4 IS NULL AND ?5 IS NULL AND", "ASC"),
        (false, false, true) => events!("WHERE ?4 IS NULL AND ?5 IS NULL AND", "DESC"),
        (true, false, false) => events!("WHERE service = ?4 AND ?5 IS NULL AND", "ASC"),
        (true, false, true) => events!("WHERE service = ?4 AND ?5 IS NULL AND", "DESC"),
        (false, true, false) => events!("WHERE ?4 IS NULL AND environment = ?5 AND", "ASC"),
        (false, true, true) => events!("WHERE ?4 IS NULL AND environment = ?5 AND", "DESC"),
        (true, true, false) => events!("WHERE service = ?4 AND environment = ?5 AND", "ASC"),
        (true, true, true) => events!("WHERE service = ?4 AND environment = ?5 AND", "DESC"),
    }
}

/// Number of the newest event.
pub(crate) const LAST_EVENT: &str = "SELECT COALESCE(MAX(seq), 0) FROM events";

/// Stores who took a lease, and its epoch: the time in milliseconds since 1970, and always above the last. Where the database
/// was lost, the new one begins above what the places have seen of the old one.
pub(crate) const TAKE_LEASE: &str = "INSERT INTO leases (name, holder, epoch) VALUES (?1, ?2, ?3) \
                                     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, \
                                     epoch = MAX(epoch + 1, excluded.epoch) \
                                     RETURNING epoch";
