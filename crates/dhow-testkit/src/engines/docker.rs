//! Docker Engines.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Server;

/// A Docker Engine of the tests' own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Docker {
    /// What `DOCKER_HOST` is to be: `unix://...`.
    pub host: String,
    /// The engine's version.
    pub version: String,
    /// The newest API that it speaks.
    pub api: String,
    /// The program `docker`.
    pub program: PathBuf,
    /// What `DOCKER_CONFIG` is to be: no credentials, and the plugin `docker compose` where it is up.
    pub config: PathBuf,
    /// The process `dockerd`, by this machine's ids. After a kill, [`mend`](super::mend) starts another.
    pub pid: u32,
}

/// The plugin `docker compose`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Compose {
    /// The program.
    pub plugin: PathBuf,
    /// Its version, without a `v`.
    pub version: String,
}

/// A swarm of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Swarm {
    /// The engine, which is the manager.
    #[serde(flatten)]
    pub docker: Docker,
    /// Where ports in `mode: host` are reached.
    pub address: Ipv4Addr,
    /// The manager as a server.
    pub ssh: Server,
}

impl Docker {
    /// The program `docker`, speaking to this engine; nothing of the environment's own Docker is in it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
        command.env("DOCKER_HOST", &self.host).env("DOCKER_CONFIG", &self.config);
        command
    }

    /// The engine's socket on this machine.
    #[must_use]
    pub fn socket(&self) -> &Path {
        Path::new(self.host.strip_prefix("unix://").unwrap_or(&self.host))
    }

    /// Where an engine that `cargo xtask` started on this machine's network keeps its images and containers, as this
    /// machine sees it.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        let data = self.socket().with_file_name("data");
        root.join(data.strip_prefix("/").unwrap_or(&data))
    }

    pub(super) fn answers(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }
}
