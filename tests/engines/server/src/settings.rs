//! What the environment sets.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// How this instance behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it says it is.
    pub version: String,
    pub port: u16,
    /// Before it listens.
    pub start: Duration,
    /// It ends before it listens.
    pub crash_at_start: bool,
    /// It ends this long after it began to listen.
    pub crash_after: Option<Duration>,
    /// What `/healthz` says.
    pub healthy: bool,
    /// How long open requests and WebSockets may go on after SIGTERM.
    pub drain: Duration,
    /// Where `/rows` keeps its rows.
    pub data: Option<PathBuf>,
}

impl Settings {
    /// Reads the environment; what cannot be read is as if it were not set.
    pub fn from_environment() -> Self {
        let millis = |name| env::var(name).ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let is = |name, value: &str| env::var(name).is_ok_and(|found| found == value);
        Self {
            version: env::var("VERSION").unwrap_or_else(|_| "unset".into()),
            port: env::var("PORT").ok().and_then(|text| text.parse().ok()).unwrap_or(8080),
            start: millis("START_MS").unwrap_or_default(),
            crash_at_start: is("CRASH", "start"),
            crash_after: millis("CRASH_MS"),
            healthy: !is("HEALTH", "fail"),
            drain: millis("DRAIN_MS").unwrap_or(Duration::from_secs(5)),
            data: env::var_os("DATA").map(PathBuf::from),
        }
    }
}
