//! `dhow demo --compose`: the same voyage with containers on this machine's Docker Engine.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use dhow_core::noun::{Digest, ImageReference, ServiceName};
use tokio::process::Command;

use super::image::Layer;
use super::requests::{self, Front};
use super::site;
use crate::serve::Server;
use crate::serve::config::FileConfig;

/// Why requests may fail.
pub const GAP: &str =
    "while a container is replaced nobody answers; a proxy before it closes this gap (docs/proxies.md)";
/// The port of the site in its container.
const PORT: u16 = 8080;

/// The containers of one demo.
pub struct Containers {
    /// Its name is its own: two demos on one engine do not meet.
    pub service: ServiceName,
    stage: SocketAddr,
    production: SocketAddr,
    layer: Layer,
}

/// What the engine of this machine lacks is said before anything is made.
async fn look() -> Result<()> {
    let lacks = "`dhow demo --compose` needs a Docker Engine on this machine with the plugin compose (Debian: apt \
                 install docker.io docker-compose-plugin); `dhow demo` needs neither";
    for (arguments, what) in [
        (&["version", "--format", "{{.Server.Version}}"][..], "the Docker Engine"),
        (&["compose", "version", "--short"], "`docker compose` version 2"),
    ] {
        let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().await;
        let output = output.with_context(|| format!("there is no program `docker`; {lacks}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{what} does not answer: {}; {lacks}", said.trim().trim_end_matches('.'));
        }
    }
    Ok(())
}

impl Containers {
    /// Looks whether the engine is there, and makes the layer that all versions share.
    pub async fn prepare(dir: &Path) -> Result<Self> {
        look().await?;
        let dir = dir.to_owned();
        let layer = tokio::task::spawn_blocking(move || Layer::of_this_program(&dir)).await??;
        let service = ServiceName::new(format!("demo{}", hex::encode(rand::random::<[u8; 3]>())))?;
        let (stage, production) = (requests::free_address()?, requests::free_address()?);
        Ok(Self { service, stage, production, layer })
    }

    /// The Compose file of an environment, in the fleet.
    pub fn file(&self, environment: &str) -> String {
        format!("services/{}/compose/{environment}/compose.yaml", self.service)
    }

    /// The fleet.
    pub fn files(&self, registry: SocketAddr) -> Vec<(String, String)> {
        let Self { service, .. } = self;
        let declared = format!(
            "\
owners: [alice]
artifacts:
  web: {{ image: \"{registry}/{service}/web\", policy: {{ semver: \"*\" }} }}
{}",
            site::CHECKS
        );
        let mut files = vec![
            ("dhow.yaml".to_owned(), site::ROOT.to_owned()),
            (format!("services/{service}/dhow.yaml"), declared),
        ];
        for environment in ["stage", "production"] {
            let at = self.front(environment).address;
            let compose = format!(
                "services:\n  web:\n    image: {registry}/{service}/web\n    ports: [\"{at}:{PORT}\"]\n    stop_grace_period: 2s\n"
            );
            files.push((self.file(environment), compose));
        }
        files
    }

    /// Where visitors of an environment come in.
    pub fn front(&self, environment: &str) -> Front {
        let address = if environment == "stage" { self.stage } else { self.production };
        Front { address, host: address.to_string() }
    }

    /// Publishes a version, and gives its digest. A bad one ends as soon as it starts.
    pub async fn publish(&self, server: &Server, version: &str, good: bool) -> Result<Digest> {
        let (client, host) = site::client(server)?;
        let reference: ImageReference = format!("{host}/{}/web:{version}", self.service).parse()?;
        let mut variables = vec![("VERSION", version)];
        if !good {
            variables.push(("BROKEN", "the database has no tables"));
        }
        self.layer.push(&client, &reference, &variables).await
    }

    /// Takes away what ran, its networks and its images.
    pub async fn remove(&self) {
        for environment in ["stage", "production"] {
            let project = format!("label=com.docker.compose.project={environment}_{}", self.service);
            let of = ["--quiet", "--filter", &project];
            clear(&[&["ps", "--all"], &of[..]].concat(), &["rm", "--force", "--volumes"]).await;
            clear(&[&["network", "ls"], &of[..]].concat(), &["network", "rm"]).await;
        }
        let images = format!("reference=*/{}/web", self.service);
        clear(&["images", "--quiet", "--no-trunc", "--filter", &images], &["rmi", "--force"]).await;
    }
}

/// Removes what a list of Docker names. What does not work is told, and holds nothing up.
async fn clear(list: &[&str], remove: &[&str]) {
    let run = async |words: Vec<String>| {
        let mut command = Command::new("docker");
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(Duration::from_secs(60), command.output()).await
    };
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let Ok(Ok(found)) = run(words(list)).await else { return };
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let ids: std::collections::BTreeSet<&str> = found.split_whitespace().collect();
    if ids.is_empty() {
        return;
    }
    let removal = [words(remove), ids.into_iter().map(str::to_owned).collect()].concat();
    match run(removal).await {
        Ok(Ok(output)) if output.status.success() => {}
        Ok(Ok(output)) => super::say(&format!(
            "something of the demo stays on the Docker Engine: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Ok(Err(_)) | Err(_) => {
            super::say("something of the demo stays on the Docker Engine: docker did not answer")
        }
    }
}

/// How the demo's control plane runs them: it may be quick to judge, as the site starts at once.
pub fn config() -> FileConfig {
    let mut config = FileConfig::default();
    config.docker.stable = Some(Duration::from_secs(1));
    config
}
