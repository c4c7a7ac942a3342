//! The port, over any shell that can be started at a place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dhow_core::port::{Command, Executor, ExecutorError, Lines, Output, Place, PlaceLock, SentFile};
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::answer::Word;
use super::request::{Held, Input, Request};
use super::run::{self, Ended};
use super::{files, trouble};
use crate::inspect::Plain;

/// A shell at a place, ready to be started.
pub struct Started {
    pub(crate) command: tokio::process::Command,
    /// Held until it ends.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// How a place's shell is started and its sockets are reached.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The place's name for people.
    fn label(&self) -> &str;
    /// Where it is.
    fn place(&self) -> Place;
    /// Its files are this machine's, and this process may do to them what its shell may.
    fn is_here(&self) -> bool {
        false
    }
    /// The folder of Dhow's own things, where it is not `.dhow` in the user's home.
    fn home(&self) -> Option<&str>;
    /// The folder that commands run in which name none.
    fn folder(&self) -> Option<&str>;
    /// A shell.
    async fn shell(&self) -> Result<Started, ExecutorError>;
    /// What a shell's silence means, by what was said in its stead.
    fn silence(&self, program: &str, said: &str, began: bool) -> ExecutorError;
    /// A unix socket here that leads to that one.
    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError>;
    /// An address here that leads to that one.
    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError>;
}

/// An executor over a transport.
pub struct Shell<T> {
    pub(crate) transport: T,
    /// This executor, among all that ever asked for a lock there.
    owner: String,
    seq: AtomicU64,
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    home: OnceCell<String>,
}

/// A name that nobody can guess.
pub(crate) fn nonce() -> String {
    hex::encode(rand::random::<[u8; 12]>())
}

impl<T: Transport> Shell<T> {
    pub(crate) fn over(transport: T) -> Self {
        Self {
            transport,
            owner: nonce(),
            seq: AtomicU64::new(1),
            locks: Mutex::default(),
            home: OnceCell::new(),
        }
    }

    /// The lock here: in this process commands under one lock wait for each other before they ask the place.
    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }

    /// A shell without a supervisor, for what needs nothing of the place but that.
    pub(crate) async fn plain_shell(&self) -> Result<Plain, ExecutorError>
    where
        T: Clone,
    {
        let Started { mut command, permit: _ } = self.transport.shell().await?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let (label, transport) = (self.transport.label().to_owned(), self.transport.clone());
        let silence = Box::new(move |said: &str| transport.silence("sh", said, false));
        Ok(Plain { command, label, silence })
    }

    pub(crate) async fn perform(
        &self,
        command: &Command,
        input: Input<'_>,
        lock: Option<&PlaceLock>,
        lines: &dyn Lines,
    ) -> Result<Output, ExecutorError> {
        let here = lock.map(|lock| self.lock(&lock.name));
        let _turn = match &here {
            Some(here) => Some(here.lock().await),
            None => None,
        };
        let held = lock.map(|lock| Held {
            lock: lock.clone(),
            owner: self.owner.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
        });
        let mut command = command.clone();
        if command.folder.is_none() {
            command.folder = self.transport.folder().map(str::to_owned);
        }
        let mark = format!("dhow-{}", nonce());
        let request = Request { mark, command: &command, input, held, home: self.transport.home() };
        let started = self.transport.shell().await?;
        let ended = run::run(started.command, &request, lines).await?;
        drop(started.permit);
        let label = self.transport.label();
        let program = || command.argv.first().cloned().unwrap_or_default();
        match ended {
            Ended::Answered(Word::End { timed_out: false, .. }, output) => Ok(output),
            Ended::Answered(word, _) => {
                let (epoch, name) = lock.map_or((0, ""), |lock| (lock.epoch, lock.name.as_str()));
                Err(trouble::of_word(&word, label, &command, epoch, name))
            }
            Ended::Silent { noise, began } => Err(self.transport.silence(&program(), &noise, began)),
            Ended::Overflow => Err(ExecutorError::Refused(format!(
                "`{}` on {label} wrote more than 16 MiB and was ended: ask it for less",
                program()
            ))),
        }
    }
}

#[async_trait]
impl<T: Transport> Executor for Shell<T> {
    fn place(&self) -> Place {
        self.transport.place()
    }

    async fn run(&self, command: &Command, lines: &dyn Lines) -> Result<Output, ExecutorError> {
        self.perform(command, Input::Whole, None, lines).await
    }

    async fn run_locked(
        &self,
        lock: &PlaceLock,
        command: &Command,
        lines: &dyn Lines,
    ) -> Result<Output, ExecutorError> {
        self.perform(command, Input::Whole, Some(lock), lines).await
    }

    async fn send(&self, folder: &str, sent: &[SentFile]) -> Result<(), ExecutorError> {
        files::send(self, folder, sent).await
    }

    async fn send_folder(&self, lock: &PlaceLock, folder: &str, from: &Path) -> Result<(), ExecutorError> {
        files::send_folder(self, lock, folder, from).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ExecutorError> {
        files::read(self, path).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ExecutorError> {
        files::write(self, path, content, mode).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ExecutorError> {
        files::list(self, folder).await
    }

    async fn remove(&self, path: &str) -> Result<(), ExecutorError> {
        files::remove(self, path).await
    }

    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        files::socket(self, path).await?;
        self.transport.forward_socket(path).await
    }

    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        self.transport.forward_tcp(to).await
    }

    async fn home(&self) -> Result<String, ExecutorError> {
        if let Some(home) = self.transport.home() {
            return Ok(home.to_owned());
        }
        self.home.get_or_try_init(|| files::home(self)).await.cloned()
    }
}
