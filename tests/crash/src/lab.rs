//! What all voyages of a run share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// Variables by these names would disturb a process under test.
const OTHERS: [&str; 4] = ["DHOW_", "GIT_", "SSH_", "DOCKER_"];

/// What all voyages of a run share.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The binary under test: a debug build, which knows the points.
    pub dhow: PathBuf,
    /// Longest time that anything may take before a voyage has failed.
    pub patience: Duration,
    /// Voyages at a time.
    pub width: usize,
    /// A promise that the binary is to break.
    pub broken: Option<String>,
    /// Folders of voyages stay.
    pub keep: bool,
}

impl Lab {
    /// With this binary, and what suits most machines.
    pub fn new(dhow: impl Into<PathBuf>) -> Self {
        Self { dhow: dhow.into(), patience: Duration::from_secs(60), width: 3, broken: None, keep: false }
    }
}

/// A program in a world of its own: no configuration of this machine's user.
pub fn clean(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if OTHERS.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1").kill_on_drop(true);
    command
}
