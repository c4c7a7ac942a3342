use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dhow_core::noun::{DeploymentId, ServerName};
use dhow_core::port::TargetError;

use super::error::blocked_by_disk;
use crate::disk;

/// Remembers on which servers a deployment may have files, on disk: Dhow's own copies are needed as long as there is one.
pub(super) struct Spread {
    root: PathBuf,
    one_at_a_time: Arc<Mutex<()>>,
}

impl Spread {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, one_at_a_time: Arc::default() }
    }

    /// Before anything is sent to a server. A crash in it leaves the old list or the new one.
    pub(super) async fn add(&self, id: &DeploymentId, server: &ServerName) -> Result<(), TargetError> {
        let server = server.clone();
        self.change(id, move |servers| servers.insert(server)).await.map(drop)
    }

    /// After everything was removed from a server. True where no server is left.
    pub(super) async fn take(&self, id: &DeploymentId, server: &ServerName) -> Result<bool, TargetError> {
        let server = server.clone();
        self.change(id, move |servers| servers.remove(&server)).await
    }

    /// The change says whether it changed something.
    async fn change(
        &self,
        id: &DeploymentId,
        change: impl FnOnce(&mut BTreeSet<ServerName>) -> bool + Send + 'static,
    ) -> Result<bool, TargetError> {
        let path = self.root.join(id.service.as_str()).join(id.environment.as_str());
        let lock = self.one_at_a_time.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let _one = lock.lock().unwrap_or_else(PoisonError::into_inner);
            let mut servers = read(&path)?;
            if change(&mut servers) {
                let lines: String = servers.iter().map(|server| format!("{server}\n")).collect();
                disk::replace(&path, lines.as_bytes())
                    .map_err(|error| blocked_by_disk("write", &path, &error, &path))?;
            }
            Ok(servers.is_empty())
        });
        changed.await.unwrap_or_else(|error| {
            Err(TargetError::Passing(format!("the thread that notes the servers ended early: {error}")))
        })
    }
}

/// A line that is no name of a server is left out.
fn read(path: &Path) -> Result<BTreeSet<ServerName>, TargetError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(blocked_by_disk("read", path, &error, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn copies_are_needed_until_the_last_server_is_left() {
        let root = tempfile::tempdir().unwrap();
        let (id, [one, two]) =
            ("a/static_file/stage".parse().unwrap(), ["web1", "web2"].map(|s| s.parse().unwrap()));
        let spread = Spread::new(root.path().join("places"));
        spread.add(&id, &one).await.unwrap();
        spread.add(&id, &two).await.unwrap();
        assert!(!spread.take(&id, &one).await.unwrap());
        let spread = Spread::new(root.path().join("places"));
        assert!(!spread.take(&id, &one).await.unwrap());
        assert!(spread.take(&id, &two).await.unwrap());
        assert!(spread.take(&id, &two).await.unwrap());
    }
}
