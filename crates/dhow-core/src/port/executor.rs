use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Place;

/// A command: an argument vector, never a shell string.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to an environment of nothing but `PATH`, `HOME` and what marks the command as ours (`DHOW_RUN`).
    pub env: BTreeMap<String, String>,
    /// Folder that it runs in; none: the user's home, or `/` here.
    pub folder: Option<String>,
    /// What it reads.
    pub stdin: Option<Bytes>,
    /// It is ended, with all that it started, after this time.
    pub limit: Duration,
}

impl Command {
    /// A command that reads nothing and takes at most a minute.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            folder: None,
            stdin: None,
            limit: Duration::from_secs(60),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; where a signal ended it, the signal's number and 128, as a shell tells it, or none.
    pub code: Option<i32>,
    /// What it wrote, at most 16 MiB: a longer one is an error.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of what it complained about.
    pub stderr: Vec<u8>,
}

impl Output {
    /// It ended with 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The standard output.
    Out,
    /// The standard error.
    Err,
}

/// Is told each line as it comes, cut to 4,096 bytes.
pub trait Lines: Send + Sync {
    /// A line, without its end.
    fn line(&self, stream: Stream, line: &str);
}

/// Nobody listens.
impl Lines for () {
    fn line(&self, _stream: Stream, _line: &str) {}
}

/// Under what an effect runs at a place (design section 6, "Leases"): exclusive by name, and refused where a higher
/// epoch was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceLock {
    /// What is locked, `compose/stage_shop`.
    pub name: String,
    /// Number of the rollout.
    pub rollout: u64,
    /// Epoch of the lease.
    pub epoch: u64,
}

/// A file to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    /// Path below the folder, with `/`, validated: no `..`, no leading `/`.
    pub path: String,
    /// Content.
    pub content: Bytes,
    /// Permissions, `0o644` or `0o755`; secrets `0o600`.
    pub mode: u32,
}

/// What goes wrong at a place.
#[derive(Debug, Clone, Error)]
pub enum ExecutorError {
    /// The place does not answer: it may come back.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// Which, for people.
        place: String,
        /// Why.
        reason: String,
    },
    /// A person must act: an unknown host key, no permission, no such program, a full disk.
    #[error("{0}")]
    Refused(String),
    /// It took too long and was ended.
    #[error("`{program}` did not end within {limit:?} and was ended")]
    TimedOut {
        /// The program.
        program: String,
        /// Its time.
        limit: Duration,
    },
    /// The connection broke while a command ran: whether it did its work is not known.
    #[error("the connection to {place} broke while `{program}` ran: {reason}")]
    Broken {
        /// Which, for people.
        place: String,
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The place has seen a higher epoch.
    #[error("another dhow (epoch {seen}) has taken over this place; this one (epoch {ours}) stops")]
    Fenced {
        /// Epoch at the place.
        seen: u64,
        /// Our epoch.
        ours: u64,
    },
}

/// Runs commands and keeps files at one place: this machine, or a server over SSH.
///
/// *Assumptions*: names and paths were validated where they entered; nothing is installed at a server but a POSIX shell,
/// OpenSSH's server and what the commands themselves name.
/// *Guarantees wanted of every implementation* (held by `dhow_testkit::executor`): an argument arrives byte for byte,
/// whatever it holds; dropping a future ends the command there, with all that it started, or makes the next holder of
/// its lock end it first; two commands under one lock never overlap, also where the first one's Dhow was killed.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Where it runs things.
    fn place(&self) -> Place;

    /// Runs a command to its end. An exit code is no error.
    async fn run(&self, command: &Command, lines: &dyn Lines) -> Result<Output, ExecutorError>;

    /// The same, under a lock of the place. What still runs under it from an older epoch is ended first.
    async fn run_locked(
        &self,
        lock: &PlaceLock,
        command: &Command,
        lines: &dyn Lines,
    ) -> Result<Output, ExecutorError>;

    /// Makes a folder hold exactly these files: written beside it, synced, and put in its place by one rename. Where it
    /// is there already it is left alone. A crash leaves it whole or not there.
    async fn send(&self, folder: &str, files: &[SentFile]) -> Result<(), ExecutorError>;

    /// The same for a folder of this machine, under a lock of the place: `folder` there comes to hold exactly its files, with
    /// 0644, or 0755 where the owner may execute them. It goes as a stream: the memory taken grows with the number of
    /// files, not with their size. `Refused` where there is something else than files and folders in it, or where a file
    /// changes while it is sent.
    async fn send_folder(&self, lock: &PlaceLock, folder: &str, from: &Path) -> Result<(), ExecutorError>;

    /// A file's bytes, at most 16 MiB; `None` where there is none.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ExecutorError>;

    /// Replaces one file by one rename, synced.
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ExecutorError>;

    /// The names in a folder, sorted; empty where there is none.
    async fn list(&self, folder: &str) -> Result<Vec<String>, ExecutorError>;

    /// Removes a file, or a folder with all that is in it. Repeatable.
    async fn remove(&self, path: &str) -> Result<(), ExecutorError>;

    /// A unix socket here that leads to the one at the place; stays open while the executor lives.
    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError>;

    /// An address here that leads to one at the place; stays open while the executor lives.
    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError>;

    /// The folder at the place that Dhow keeps its own things in, absolute.
    async fn home(&self) -> Result<String, ExecutorError>;
}

/// The executors of a fleet's places, by place. The servers follow the fleet's head.
#[async_trait]
pub trait Executors: Send + Sync {
    /// The executor of a place. `Refused` where the fleet does not name it.
    async fn at(&self, place: &Place) -> Result<std::sync::Arc<dyn Executor>, ExecutorError>;
}
