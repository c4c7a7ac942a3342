//! This machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use dhow_core::port::{ExecutorError, Place};

use super::quote::BOOT;
use super::shell::{Shell, Started, Transport};

/// This machine as a place.
#[derive(Clone)]
pub struct Here {
    home: String,
}

/// The executor of this machine. If Dhow is killed, what it runs here is ended at once.
pub type LocalExecutor = Shell<Here>;

impl LocalExecutor {
    /// The executor of this machine, which keeps its locks below this absolute folder.
    ///
    /// # Errors
    /// The folder's name is not UTF-8.
    pub fn new(home: PathBuf) -> Result<Self, ExecutorError> {
        let home = home.into_os_string().into_string().map_err(|home| {
            ExecutorError::Refused(format!("the folder {} has no UTF-8 name", home.display()))
        })?;
        Ok(Self::over(Here { home }))
    }
}

#[async_trait]
impl Transport for Here {
    fn label(&self) -> &str {
        "this machine"
    }

    fn place(&self) -> Place {
        Place::Local
    }

    fn is_here(&self) -> bool {
        true
    }

    fn home(&self) -> Option<&str> {
        Some(&self.home)
    }

    fn folder(&self) -> Option<&str> {
        Some("/")
    }

    async fn shell(&self) -> Result<Started, ExecutorError> {
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", BOOT]);
        Ok(Started { command, permit: None })
    }

    fn silence(&self, program: &str, said: &str, _began: bool) -> ExecutorError {
        ExecutorError::Broken {
            place: self.label().into(),
            program: program.into(),
            reason: format!("the shell that ran it was killed {}", said.trim()).trim_end().into(),
        }
    }

    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        Ok(path.into())
    }

    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        Ok(to)
    }
}
