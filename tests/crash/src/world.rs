//! One voyage's world: a folder with a repository and a state directory, and the process that works on them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::keeper::{Keeper, Start};
use crate::lab::Lab;
use crate::point::{self, Point};
use crate::repository::Repository;

/// Name of the embedded registry in fleets: its port is not known when a fleet is written.
pub const HOST: &str = "dhow.test";
/// Quick to look, so that a voyage takes seconds.
const CONFIG: &str = "fleet_interval: 200ms\ntags_interval: 300ms\nhealth_interval: 1s\n";

/// A folder that a voyage begins in, and can begin in again.
pub struct Harbor {
    folder: TempDir,
}

impl Harbor {
    /// With a fleet of these files.
    ///
    /// # Errors
    /// The folder or the repository cannot be made.
    pub async fn with(files: &[(String, String)]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dhow-crash-").tempdir()?;
        Repository::make(folder.path(), files).await?;
        Ok(Self { folder })
    }

    /// Another one, as this one is now.
    ///
    /// # Errors
    /// The folder cannot be copied.
    pub async fn copy(&self) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dhow-crash-").tempdir()?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.folder.path().join(".")).arg(folder.path()).stdin(Stdio::null());
        ensure!(copy.status().await?.success(), "{} cannot be copied", self.folder.path().display());
        let log = folder.path().join("points.log");
        if log.exists() {
            std::fs::remove_file(log)?;
        }
        Repository::of(folder.path()).moved().await?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A running voyage.
pub struct World {
    pub(crate) lab: Lab,
    pub(crate) http: reqwest::Client,
    pub(crate) keeper: Keeper,
    /// The fleet.
    pub repository: Repository,
    /// The scenario's own way to die that is this voyage's, from 1; none: the scenario kills nothing.
    pub own: Option<u64>,
    harbor: Harbor,
}

/// What a scenario wants of the process: more of its configuration, its address, its environment.
#[derive(Debug, Clone, Default)]
pub struct Rig {
    /// More lines of the configuration.
    pub config: String,
    /// Where the API listens; none: anywhere.
    pub listen: Option<String>,
    /// Variables.
    pub environment: Vec<(String, String)>,
}

impl World {
    /// Starts the process in a harbor, with these deaths before it.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn start(lab: &Lab, rig: &Rig, harbor: Harbor, lives: Vec<Point>) -> Result<Self> {
        let own = lives.iter().find(|point| point.class == point::OWN).map(|point| point.number);
        let lives = lives.into_iter().filter(|point| point.class != point::OWN).collect();
        let folder = harbor.path();
        let repository = Repository::of(folder);
        let config = folder.join("serve.yaml");
        std::fs::write(&config, format!("registry_hosts: [{HOST}]\n{CONFIG}{}", rig.config))?;
        let at = |name: &str| folder.join(name).display().to_string();
        let listen = rig.listen.clone().unwrap_or_else(|| "127.0.0.1:0".into());
        let (url, state, config) = (repository.url(), at("state"), config.display().to_string());
        let arguments = ["serve", "--listen", &listen, "--sites", "127.0.0.1:0", "--fleet", &url];
        let more = ["--state", &state, "--config", &config];
        let mut environment = rig.environment.clone();
        environment.push(("DHOW_CRASH_LOG".into(), at("points.log")));
        environment.extend(lab.broken.iter().map(|variant| ("DHOW_BREAK".into(), variant.clone())));
        let start = Start {
            dhow: lab.dhow.clone(),
            home: repository.home(),
            arguments: arguments.iter().chain(&more).map(|word| (*word).to_owned()).collect(),
            environment,
        };
        let http = reqwest::Client::builder().no_proxy().timeout(lab.patience).build()?;
        Ok(Self { lab: lab.clone(), http, keeper: Keeper::start(start, lives), repository, own, harbor })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.harbor.path()
    }

    /// The directory of the state.
    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// Ends the process well, and gives the folder back.
    ///
    /// # Errors
    /// It did not end as it should.
    pub async fn end(self) -> Result<Harbor> {
        self.keeper.end().await;
        let problems = self.keeper.problems();
        ensure!(problems.is_empty(), "{}\n{}", problems.join("\n"), self.keeper.said());
        Ok(self.harbor)
    }

    /// The folder stays, for a person to look at.
    pub fn keep(self) -> PathBuf {
        self.harbor.folder.keep()
    }

    /// The points that were passed so far, of all its processes.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn passed(&self) -> Result<Vec<Point>> {
        let log = self.folder().join("points.log");
        let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        Ok(point::passed(&text))
    }
}
