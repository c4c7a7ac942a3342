//! A proxy in front of the containers of this machine, as somebody set it up: no route of Dhow's is in it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dhow_testkit::engines;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its routes are changed by its API: each deploy is a reload.
    Caddy,
    /// Its routes are files.
    Traefik,
}

/// A proxy that runs. Dropped, it is killed.
pub struct Proxy {
    kind: Kind,
    admin: SocketAddr,
    /// Where visitors come in.
    pub front: SocketAddr,
    folder: TempDir,
    _process: Child,
}

impl Proxy {
    /// Starts it; it listens soon. None: it is not installed, and that was said.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(kind: Kind, admin: SocketAddr, front: SocketAddr) -> Result<Option<Self>> {
        let program = match kind {
            Kind::Caddy => engines::caddy(),
            Kind::Traefik => engines::traefik(),
        };
        let Some(program) = program else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("dhow-crash-proxy-").tempdir()?;
        let mut command = Command::new(program.program);
        match kind {
            Kind::Caddy => {
                let nothing = json!([{ "handle": [{ "handler": "static_response", "status_code": 404 }] }]);
                let web =
                    json!({ "listen": [front], "automatic_https": { "disable": true }, "routes": nothing });
                let config = json!({ "admin": { "listen": admin }, "apps": { "http": { "servers": { "web": web } } } });
                let file = folder.path().join("caddy.json");
                std::fs::write(&file, config.to_string())?;
                command.args(["run", "--config"]).arg(file);
            }
            Kind::Traefik => {
                let directory = format!("--providers.file.directory={}", folder.path().display());
                command.args([&format!("--entrypoints.web.address={front}"), &directory]);
                command.args(["--providers.file.watch=true", "--providers.providersThrottleDuration=100ms"]);
            }
        }
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("{kind:?} cannot be started"))?;
        Ok(Some(Self { kind, admin, front, folder, _process: process }))
    }

    /// Its line in the fleet's `dhow.yaml`.
    pub fn line(&self) -> String {
        let (front, folder) = (self.front, self.folder.path().display());
        match self.kind {
            Kind::Caddy => {
                format!(
                    "proxy: {{ kind: caddy, admin: \"{}\", front: \"{front}\", drain: 1s }}\n",
                    self.admin
                )
            }
            Kind::Traefik => {
                format!("proxy: {{ kind: traefik, folder: {folder}, front: \"{front}\", drain: 1s }}\n")
            }
        }
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// It never does.
    pub async fn listens(&self, patience: Duration) -> Result<()> {
        let look = async {
            while tokio::net::TcpStream::connect(self.front).await.is_err() {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        let up = tokio::time::timeout(patience, look).await;
        up.with_context(|| format!("{:?} does not listen on {}", self.kind, self.front))
    }
}
