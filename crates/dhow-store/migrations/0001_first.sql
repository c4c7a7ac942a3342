-- Current rows: one table a kind, so that a person with the sqlite3 shell finds them by name.
-- The bodies are JSON documents: `SELECT key, body ->> 'state' FROM rollouts WHERE open = 1;`
-- The partial indexes keep start-up, which reads open rows only, off the closed ones.

-- 'Dhow' in ASCII: tells our file from another program's.
PRAGMA application_id = 1147694967;

CREATE TABLE deployments (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deployments_open ON deployments (key) WHERE open = 1;

CREATE TABLE rollouts (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rollouts_open ON rollouts (key) WHERE open = 1;

CREATE TABLE releases (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX releases_open ON releases (key) WHERE open = 1;

CREATE TABLE proofs (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX proofs_open ON proofs (key) WHERE open = 1;

CREATE TABLE tags (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_open ON tags (key) WHERE open = 1;

CREATE TABLE versions (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_open ON versions (key) WHERE open = 1;

CREATE TABLE updates (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX updates_open ON updates (key) WHERE open = 1;

CREATE TABLE proposals (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX proposals_open ON proposals (key) WHERE open = 1;

CREATE TABLE approvals (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_open ON approvals (key) WHERE open = 1;

CREATE TABLE quarantine (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_open ON quarantine (key) WHERE open = 1;

CREATE TABLE holds (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_open ON holds (key) WHERE open = 1;

CREATE TABLE gates (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX gates_open ON gates (key) WHERE open = 1;

CREATE TABLE tokens (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_open ON tokens (key) WHERE open = 1;

CREATE TABLE cursors (
    key TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cursors_open ON cursors (key) WHERE open = 1;

-- What happened, in commit order. Numbers are never used twice.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    schema INTEGER NOT NULL,
    service TEXT,
    target TEXT,
    environment TEXT,
    cause INTEGER,
    at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX events_service ON events (service, seq) WHERE service IS NOT NULL;
CREATE INDEX events_environment ON events (environment, seq) WHERE environment IS NOT NULL;

-- The newest epoch of each lease, and who took it. How long a lease runs is known to the living process only.
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
