//! A server over the system's OpenSSH: one multiplexed connection, strict about host keys.
//!
//! The program `ssh` itself, and no library around it: a configuration file that we write is all that it reads, so that
//! a jump host is held to the same rules as the server; and it tells us which host key it was shown.

mod config;
mod folder;
mod forward;
mod host_key;
mod link;
mod login;
mod trouble;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::noun::ServerName;
use dhow_core::port::{ExecutorError, Place};
use tokio::sync::Semaphore;

pub use host_key::{HostKey, Trust};
pub use login::Login;

use super::quote;
use super::shell::{Shell, Started, Transport};
use forward::Forwards;
use link::Link;

/// Commands at once on one connection: sshd's own default is 10, and one is the connection's.
const SESSIONS: usize = 8;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    /// Its name in the fleet.
    pub name: ServerName,
    /// The login there.
    pub login: Login,
    /// The login at the host in between.
    pub jump: Option<Login>,
    /// File with the host keys that were accepted. It need not exist.
    pub known_hosts: PathBuf,
}

/// A server as a place.
#[derive(Clone)]
pub struct Remote {
    name: ServerName,
    label: String,
    link: Arc<Link>,
    sessions: Arc<Semaphore>,
    forwards: Arc<Forwards>,
}

/// The executor of a server.
pub type SshExecutor = Shell<Remote>;

impl SshExecutor {
    /// The executor of a server. Nothing is connected yet.
    ///
    /// # Errors
    /// `Refused`: a key's file is not there, a path cannot be written into SSH's configuration, or no folder for sockets
    /// can be made here.
    pub fn new(settings: &SshSettings) -> Result<Self, ExecutorError> {
        let label = format!("{} ({})", settings.name, settings.login);
        let link = Arc::new(Link::new(settings, &label)?);
        let forwards = Arc::new(Forwards::new(Arc::clone(&link)));
        let sessions = Arc::new(Semaphore::new(SESSIONS));
        Ok(Self::over(Remote { name: settings.name.clone(), label, link, sessions, forwards }))
    }

    /// Whether the host keys of the server and its jump host are trusted: the first that is not, without trusting it.
    ///
    /// # Errors
    /// `Unreachable`, or `Refused` for another reason than a host key.
    pub async fn trust(&self) -> Result<Trust, ExecutorError> {
        self.transport.link.trust().await
    }
}

#[async_trait]
impl Transport for Remote {
    fn label(&self) -> &str {
        &self.label
    }

    fn place(&self) -> Place {
        Place::Server(self.name.clone())
    }

    fn home(&self) -> Option<&str> {
        None
    }

    fn folder(&self) -> Option<&str> {
        None
    }

    async fn shell(&self) -> Result<Started, ExecutorError> {
        let permit = Arc::clone(&self.sessions).acquire_owned().await.ok();
        let mut command = self.link.client().await?;
        command.arg(config::TARGET).arg(quote::boot()).kill_on_drop(true);
        Ok(Started { command, permit })
    }

    fn silence(&self, program: &str, said: &str, began: bool) -> ExecutorError {
        if began {
            let reason = trouble::last_line(said).unwrap_or("it fell silent").to_owned();
            return ExecutorError::Broken { place: self.label.clone(), program: program.into(), reason };
        }
        self.link.trouble(said)
    }

    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        self.forwards.socket(path).await
    }

    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        self.forwards.tcp(to).await
    }
}
