//! Which servers there are, and how they are reached: the fleet, and what `serve` is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use dhow_core::diagnostic::{Severity, nearest};
use dhow_core::fleet::{self, Fleet, Server};
use dhow_core::noun::ServerName;
use dhow_core::port::{BranchName, FleetRepo as _};
use dhow_docker::executor::{Places, PlacesConfig};
use dhow_git::{GitFleet, GitFleetConfig};

use crate::dir_tree::DirTree;
use crate::serve::config::FileConfig;

/// Where the fleet is
#[derive(Debug, Clone, clap::Args)]
pub(in crate::command) struct FleetArgs {
    /// The fleet: a folder, a bare repository, or the URL of one
    #[arg(long, value_name = "DIR|URL", default_value = ".")]
    pub(in crate::command) fleet: String,
    /// The branch of a repository; by default its HEAD
    #[arg(long, value_parser = |text: &str| BranchName::new(text))]
    pub(in crate::command) branch: Option<BranchName>,
}

/// How `dhow serve` reaches servers
#[derive(Debug, Clone, clap::Args)]
pub(in crate::command) struct ReachArgs {
    /// The state directory of `dhow serve`: its file known_hosts has the host keys that were accepted
    #[arg(long, env = "DHOW_STATE", value_name = "DIR")]
    pub(in crate::command) state: PathBuf,
    /// The configuration of `dhow serve`, for its `identities`
    #[arg(long, value_name = "FILE")]
    pub(in crate::command) config: Option<PathBuf>,
}

impl FleetArgs {
    /// The servers of the fleet.
    ///
    /// # Errors
    /// It cannot be read, or its root file is broken.
    pub(in crate::command) async fn servers(&self) -> anyhow::Result<BTreeMap<ServerName, Server>> {
        Ok(self.whole().await?.servers)
    }

    /// All that the fleet declares.
    ///
    /// # Errors
    /// As [`FleetArgs::servers`].
    pub(in crate::command) async fn whole(&self) -> anyhow::Result<Fleet> {
        let fleet = self.load().await?;
        if fleet.broken_root {
            for found in fleet.diagnostics.iter().filter(|found| found.severity == Severity::Error) {
                anstream::eprintln!("{found}\n");
            }
            bail!("dhow.yaml at the fleet's root is broken: mend it first");
        }
        Ok(fleet)
    }

    async fn load(&self) -> anyhow::Result<Fleet> {
        let folder = Path::new(&self.fleet);
        let bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        if folder.is_dir() && !bare {
            let tree =
                DirTree::open(folder).with_context(|| format!("cannot open the fleet {}", self.fleet))?;
            return Ok(fleet::load(&tree));
        }
        let mirror = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let mut config = GitFleetConfig::new(self.fleet.clone(), mirror.path().join("fleet.git"));
        config.branch.clone_from(&self.branch);
        let repo = GitFleet::open(config).await?;
        let head = repo.fetch().await?;
        let tree = repo.tree(&head.commit).await?;
        Ok(fleet::load(tree.as_ref()))
    }
}

impl ReachArgs {
    /// The file of host keys that were accepted.
    pub(in crate::command) fn known_hosts(&self) -> PathBuf {
        self.state.join("known_hosts")
    }

    /// The executors of these servers.
    ///
    /// # Errors
    /// The configuration cannot be used, or there is no state directory.
    pub(in crate::command) fn places(
        &self,
        servers: &BTreeMap<ServerName, Server>,
    ) -> anyhow::Result<Places> {
        let file = self.config.as_deref().map(FileConfig::read).transpose()?.unwrap_or_default();
        let state =
            std::path::absolute(&self.state).ok().filter(|state| state.is_dir()).with_context(|| {
                format!(
                    "there is no state directory {}: start `dhow serve` once, or mend --state",
                    self.state.display()
                )
            })?;
        let servers = servers.clone();
        Ok(Places::new(PlacesConfig {
            home: state.join("place"),
            known_hosts: state.join("known_hosts"),
            identities: file.identities,
            servers: Arc::new(move || servers.clone()),
        })?)
    }
}

/// A server that the fleet must have.
///
/// # Errors
/// It has none of this name.
pub(in crate::command) fn known(
    name: &ServerName,
    servers: &BTreeMap<ServerName, Server>,
) -> anyhow::Result<()> {
    if servers.contains_key(name) {
        return Ok(());
    }
    match nearest(name.as_str(), servers.keys().map(ServerName::as_str)) {
        Some(near) => bail!("the fleet has no server {name}; did you mean {near}?"),
        None => bail!("the fleet has no server {name}: declare it under servers in dhow.yaml at its root"),
    }
}
