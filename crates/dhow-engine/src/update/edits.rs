use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use dhow_core::edit::{self, Site};
use dhow_core::fleet::{self, DesiredHash, Entry, Tree};
use dhow_core::noun::{
    ArtifactName, DeploymentId, Digest, EnvironmentName, ImageReference, Pin, ServiceName, Tag,
};
use dhow_core::port::FileChange;
use dhow_core::rollout::UpdateRow;

use crate::engine::{EngineError, Inner};
use crate::sync::Desired;
use crate::view::View;

/// Edits of the fleet's head, by file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edits {
    files: BTreeMap<String, Vec<(Site, Pin)>>,
}

impl Edits {
    /// The edits that bring a service in an environment to these versions: nothing where it is there already. All its
    /// deployments move together.
    pub fn set(
        view: &View,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Self {
        let mut edits = Self::default();
        for id in view.deployments_of(service, environment) {
            for site in view.sites(&id) {
                let Some(pin) = pins.get(&site.artifact) else { continue };
                if site.site.digest != Some(pin.digest) || site.site.tag != pin.tag {
                    edits
                        .files
                        .entry(site.site.file.clone())
                        .or_default()
                        .push((site.site.clone(), pin.clone()));
                }
            }
        }
        edits
    }

    /// The edits of an update; those of a rollback touch only what still holds the version that failed.
    pub fn of(view: &View, update: &UpdateRow) -> Self {
        let mut edits = Self::set(view, &update.service, &update.environment, &update.pins);
        for id in view.deployments_of(&update.service, &update.environment) {
            for site in view.sites(&id) {
                let Some(restore) = update.restore.get(&site.artifact) else { continue };
                let holds_failed = match site.site.digest {
                    Some(digest) => digest == restore.failed.digest,
                    None => site.site.tag.is_some() && site.site.tag == restore.failed.tag,
                };
                if holds_failed {
                    edits
                        .files
                        .entry(site.site.file.clone())
                        .or_default()
                        .push((site.site.clone(), restore.back.clone()));
                }
            }
        }
        edits
    }

    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds the edits of another service or environment.
    pub fn extend(&mut self, other: Self) {
        for (file, sites) in other.files {
            self.files.entry(file).or_default().extend(sites);
        }
    }

    /// The files as they become.
    pub fn apply(&self, tree: &dyn Tree) -> Result<Vec<FileChange>, EngineError> {
        let mut changes = Vec::new();
        for (path, sites) in &self.files {
            let bytes = tree.read(path)?.unwrap_or_default();
            let text = String::from_utf8(bytes).map_err(|_| {
                EngineError::Refused(format!("{path} is not UTF-8; the version in it cannot be edited"))
            })?;
            let edited = edit::apply(&text, sites)
                .map_err(|e| EngineError::Refused(format!("{path} cannot be edited: {e}")))?;
            changes.push(FileChange { path: path.clone(), content: Some(edited.into_bytes()) });
        }
        Ok(changes)
    }
}

/// The fleet without the versions of a deployment: the same scalars hold the same nothing, whatever stood there. What
/// cannot be blanked stays as it is.
pub(crate) fn without_versions(view: &View, id: &DeploymentId) -> Result<Overlay, EngineError> {
    let mut by_file: BTreeMap<&str, Vec<(Site, ImageReference)>> = BTreeMap::new();
    for version in view.sites(id) {
        let Some(repository) = view.repository(id, version) else { continue };
        let tag = Tag::new("none").ok();
        let nothing = ImageReference { repository, tag, digest: Some(Digest::of(b"")) };
        by_file.entry(&version.site.file).or_default().push((version.site.clone(), nothing));
    }
    let mut changes = Vec::new();
    for (path, sites) in by_file {
        let Some(bytes) = view.tree.read(path)? else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Ok(blank) = edit::write(&text, &sites) {
            changes.push(FileChange { path: path.to_owned(), content: Some(blank.into_bytes()) });
        }
    }
    Ok(Overlay::new(Arc::clone(&view.tree), &changes))
}

/// A tree with some files changed: what the fleet would be.
pub(crate) struct Overlay {
    base: Arc<dyn Tree>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Overlay {
    /// The tree after these changes. Files are replaced, never added or removed.
    pub fn new(base: Arc<dyn Tree>, changes: &[FileChange]) -> Self {
        let files = changes.iter().filter_map(|c| Some((c.path.clone(), c.content.clone()?))).collect();
        Self { base, files }
    }
}

impl Tree for Overlay {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self.files.get(path) {
            Some(bytes) => Ok(Some(bytes.clone())),
            None => self.base.read(path),
        }
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut entries = self.base.list(folder)?;
        for entry in &mut entries {
            let changed = match folder {
                "" => self.files.get(&entry.name),
                _ => self.files.get(&format!("{folder}/{}", entry.name)),
            };
            if let Some(bytes) = changed {
                entry.content = self.base.content_of(bytes);
            }
        }
        Ok(entries)
    }

    fn link(&self, path: &str) -> io::Result<Option<String>> {
        self.base.link(path)
    }

    fn content_of(&self, bytes: &[u8]) -> String {
        self.base.content_of(bytes)
    }
}

impl Inner {
    /// What the deployments of a service in an environment would be after these changes.
    pub(crate) async fn would_be(
        self: &Arc<Self>,
        view: &View,
        changes: &[FileChange],
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<BTreeMap<DeploymentId, DesiredHash>, EngineError> {
        let tree: Arc<dyn Tree> = Arc::new(Overlay::new(Arc::clone(&view.tree), changes));
        let changed: Vec<String> = changes.iter().map(|c| c.path.clone()).collect();
        let fleet = Arc::new(fleet::reload(&view.fleet, tree.as_ref(), &changed));
        let after = View::new(view.commit.clone(), fleet, tree, Some(view));
        let mut hashes = BTreeMap::new();
        for id in after.deployments_of(service, environment) {
            if let Desired::Ready(ready) = self.desired(&after, &id).await? {
                hashes.insert(id, ready.hash);
            }
        }
        Ok(hashes)
    }
}
