use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use dhow_core::edit::{self, Site};
use dhow_core::fleet::{self, DesiredHash, Entry, Tree, VersionSite};
use dhow_core::noun::{ArtifactName, DeploymentId, Digest, EnvironmentName, Pin, ServiceName, Tag};
use dhow_core::port::FileChange;
use dhow_core::rollout::{Restore, UpdateRow};

use crate::engine::{EngineError, Inner};
use crate::sync::Unready;
use crate::view::View;

/// Edits of the fleet's head, by file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edits {
    files: BTreeMap<String, Vec<(Site, Pin)>>,
    written: Vec<Written>,
}

/// What is written for an artifact of a deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    /// In which deployment.
    pub deployment: DeploymentId,
    /// Of which artifact.
    pub artifact: ArtifactName,
    /// What.
    pub pin: Pin,
    /// Only its tag can stand there.
    pub tag_only: bool,
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
            for site in editable(view, &id) {
                let Some(pin) = pins.get(&site.artifact) else { continue };
                let other_digest = site.site.holds_digest() && site.site.digest != Some(pin.digest);
                let other_tag = site.site.holds_tag() && pin.tag.is_some() && site.site.tag != pin.tag;
                if other_digest || other_tag {
                    edits.add(&id, site, pin);
                }
            }
        }
        edits
    }

    /// Adds what brings one place to a version.
    pub fn add(&mut self, id: &DeploymentId, site: &VersionSite, pin: &Pin) {
        self.files.entry(site.site.file.clone()).or_default().push((site.site.clone(), pin.clone()));
        self.written.push(Written {
            deployment: id.clone(),
            artifact: site.artifact.clone(),
            pin: pin.clone(),
            tag_only: !site.site.holds_digest(),
        });
    }

    /// What is written, deployment by deployment.
    pub fn written(&self) -> &[Written] {
        &self.written
    }

    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds the edits of another service or environment. Where both write one place and do not agree, nothing is added
    /// and the answer says which place it is.
    pub fn extend(&mut self, other: Self) -> Result<(), String> {
        let place = |site: &Site| (site.line, site.column);
        for (file, sites) in &other.files {
            let here = self.files.get(file).map(Vec::as_slice).unwrap_or_default();
            for (site, pin) in sites {
                if let Some((at, _)) = here.iter().find(|(s, p)| place(s) == place(site) && p != pin) {
                    return Err(format!("{file}:{}: another update writes another version there", at.line));
                }
            }
        }
        self.written.extend(other.written);
        for (file, sites) in other.files {
            let here = self.files.entry(file).or_default();
            for (site, pin) in sites {
                if !here.iter().any(|(s, _)| place(s) == place(&site)) {
                    here.push((site, pin));
                }
            }
        }
        Ok(())
    }

    /// The edits that write one and the same version at every place of a deployment: what still differs between two
    /// releases after them are other files.
    pub fn blank(sites: &[VersionSite]) -> Self {
        let any = sites.iter().find_map(|s| s.site.repository.clone());
        let mut edits = Self::default();
        for VersionSite { site, .. } in sites {
            let repository = site.repository.clone().or_else(|| any.clone());
            let (Some(repository), Ok(tag)) = (repository, Tag::new("none")) else { continue };
            let pin = Pin { repository, tag: Some(tag), digest: Digest::of(b"none") };
            let files = [(site.file.clone(), vec![(site.clone(), pin)])].into();
            let edit = Self { files, written: Vec::new() };
            // A place that was written already is blank already.
            let _ = edits.extend(edit);
        }
        edits
    }

    /// The files as they become; those that stay as they are are not among them.
    pub fn apply(&self, tree: &dyn Tree) -> Result<Vec<FileChange>, EngineError> {
        let mut changes = Vec::new();
        for (path, sites) in &self.files {
            let bytes = tree.read(path)?.unwrap_or_default();
            let text = String::from_utf8(bytes).map_err(|_| {
                EngineError::Refused(format!("{path} is not UTF-8; the version in it cannot be edited"))
            })?;
            let edited = edit::apply(&text, sites)
                .map_err(|e| EngineError::Refused(format!("{path} cannot be edited: {e}")))?;
            if edited != text {
                changes.push(FileChange { path: path.clone(), content: Some(edited.into_bytes()) });
            }
        }
        Ok(changes)
    }
}

/// The places of a deployment that hold a version which is to go with a rollback: which one, and what it goes with.
pub(super) fn places_left<'a>(
    view: &'a View,
    id: &DeploymentId,
    update: &'a UpdateRow,
) -> impl Iterator<Item = (&'a VersionSite, &'a Pin, &'a Restore)> {
    editable(view, id).filter_map(|site| {
        let restore = update.restore.get(&site.artifact)?;
        let holds = |left: &&Pin| match site.site.digest {
            Some(digest) => digest == left.digest,
            None => site.site.tag.is_some() && site.site.tag == left.tag,
        };
        Some((site, restore.left().find(holds)?, restore))
    })
}

/// The places of a deployment's versions that may be written: not those in files that others read too.
fn editable<'a>(view: &'a View, id: &DeploymentId) -> impl Iterator<Item = &'a VersionSite> {
    view.sites(id).iter().filter(|site| !view.fleet.shared_files.contains(&site.site.file))
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
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        for (path, bytes) in self.files.range(prefix.clone()..) {
            let Some(name) = path.strip_prefix(&prefix) else { break };
            if let Some(entry) = entries.iter_mut().find(|entry| entry.name == name) {
                entry.content = self.base.content_of(bytes);
            }
        }
        Ok(entries)
    }

    fn content_of(&self, bytes: &[u8]) -> String {
        self.base.content_of(bytes)
    }

    fn link(&self, path: &str) -> io::Result<Option<String>> {
        self.base.link(path)
    }
}

impl Inner {
    /// What the deployments of a service in an environment would be after these changes. Refused where that cannot be
    /// told of one of them.
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
        let after = View::new(view.commit.clone(), fleet, tree);
        let mut hashes = BTreeMap::new();
        for id in after.deployments_of(service, environment) {
            match self.desired(&after, &id).await? {
                Ok(ready) => {
                    hashes.insert(id, ready.hash);
                }
                Err(Unready::NoVersion(_) | Unready::NoTarget) => {}
                Err(Unready::Broken(reason) | Unready::Missing(reason) | Unready::Later(reason)) => {
                    return Err(EngineError::Refused(format!(
                        "it cannot be told what {id} would be: {reason}"
                    )));
                }
            }
        }
        Ok(hashes)
    }
}
