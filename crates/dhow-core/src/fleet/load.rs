//! From a tree to a fleet, and from a fleet and what changed to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alias::Aliases;
use super::layout::{self, Found};
use super::model::Fleet;
use super::networks::Settled;
use super::part::{Context, Part};
use super::path;
use super::root::{self, Root};
use super::tree::Tree;
use super::whole;
use crate::noun::DeploymentId;

/// What was read, service by service: lets the next fleet share what did not change.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub(super) root: Arc<Root>,
    pub(super) aliases: Aliases,
    /// Parts by the service's name as its folder spells it.
    pub(super) parts: BTreeMap<String, Arc<Part>>,
    /// Folders of deployments inside of other deployments' folders.
    nested: BTreeSet<String>,
    /// Folders and files outside of deployments, to the services that read them.
    watched: BTreeMap<String, Vec<String>>,
    /// Dependency files, to the deployments that read them.
    readers: BTreeMap<String, Vec<DeploymentId>>,
    /// Isolated deployments.
    settled: Settled,
    loaded: bool,
}

impl Index {
    /// The deployments that depend on a file outside of their folders.
    pub fn readers(&self, file: &str) -> impl Iterator<Item = &DeploymentId> {
        self.readers.get(file).into_iter().flatten()
    }
}

/// Reads a whole fleet. Never fails: what cannot be read is told in [`Fleet::diagnostics`] and kept apart.
pub fn load(tree: &dyn Tree) -> Fleet {
    let root = Arc::new(Root::read(tree));
    let found = layout::discover(tree, &root, None);
    let aliases = Aliases::of(&root.spelled(), &owned(found.values().flat_map(spelled)));
    let nested = nested(found.values().flat_map(|f| f.candidates.iter().map(|c| c.folder.as_str())));
    let context = Context { tree, root: &root, aliases: &aliases, nested: &nested };
    let parts =
        found.iter().map(|(name, found)| (name.clone(), Arc::new(context.part(name, found)))).collect();
    finish(root, aliases, parts, nested, &Settled::new())
}

/// Reads what changed since `before`: the same as [`load`] of `tree`, but only services that the changed paths touch
/// are read again; the others are shared. `changed` are the paths of files that were added, changed or removed.
pub fn reload(before: &Fleet, tree: &dyn Tree, changed: &[String]) -> Fleet {
    let index = &before.index;
    let root_changed = changed.iter().any(|path| path == root::FILE);
    if !index.loaded || root_changed || !index.nested.is_empty() {
        return load(tree);
    }
    let touched: BTreeSet<String> = changed.iter().flat_map(|path| touched(index, path)).collect();
    let found = layout::discover(tree, &index.root, Some(&touched));
    let mut parts = index.parts.clone();
    parts.retain(|name, _| !touched.contains(name));
    let spelled_now = parts.values().flat_map(|part| part.spelled.iter().map(String::as_str));
    let aliases =
        Aliases::of(&index.root.spelled(), &owned(spelled_now.chain(found.values().flat_map(spelled))));
    let folders_now = parts.values().flat_map(|part| part.folders.iter().map(String::as_str));
    let new = found.values().flat_map(|f| f.candidates.iter().map(|c| c.folder.as_str()));
    if aliases != index.aliases || !nested(folders_now.chain(new)).is_empty() {
        return load(tree);
    }
    let nested = BTreeSet::new();
    let context = Context { tree, root: &index.root, aliases: &aliases, nested: &nested };
    for (name, found) in &found {
        parts.insert(name.clone(), Arc::new(context.part(name, found)));
    }
    finish(Arc::clone(&index.root), aliases, parts, nested, &index.settled)
}

fn spelled(found: &Found) -> impl Iterator<Item = &str> {
    found.candidates.iter().map(|c| c.spelled.as_str())
}

fn owned<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(str::to_owned).collect()
}

/// Folders that lie inside of others.
fn nested<'a>(folders: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let all: BTreeSet<&str> = folders.collect();
    let inside = |folder: &str| {
        let mut above = folder;
        while let Some((parent, _)) = above.rsplit_once('/') {
            if all.contains(parent) {
                return true;
            }
            above = parent;
        }
        !folder.is_empty() && all.contains("")
    };
    all.iter().filter(|folder| inside(folder)).map(|folder| (*folder).to_owned()).collect()
}

/// The services that a changed path may touch.
fn touched(index: &Index, changed: &str) -> BTreeSet<String> {
    let mut services = BTreeSet::new();
    for (pattern, _) in layout::patterns(&index.root) {
        // A file beside or above what the pattern names still belongs to the service that its first names bind.
        if let Some(binding) = pattern.bind(changed) {
            services.extend(layout::service_of(&pattern, &binding));
        }
    }
    for listed in &index.root.listed {
        if path::is_within(changed, &listed.folder) {
            services.insert(listed.service.to_string());
        }
    }
    let mut above = changed;
    loop {
        services.extend(index.watched.get(above).into_iter().flatten().cloned());
        // The root itself, which is above all, may be read as a folder too.
        match above.rsplit_once('/') {
            Some((parent, _)) => above = parent,
            None if above.is_empty() => break,
            None => above = "",
        }
    }
    services
}

fn finish(
    root: Arc<Root>,
    aliases: Aliases,
    parts: BTreeMap<String, Arc<Part>>,
    nested: BTreeSet<String>,
    before: &Settled,
) -> Fleet {
    let (mut fleet, settled) = whole::assemble(&root, &aliases, &parts, before);
    let mut watched: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, part) in &parts {
        for path in &part.watched {
            watched.entry(path.clone()).or_default().push(name.clone());
        }
    }
    let mut readers: BTreeMap<String, Vec<DeploymentId>> = BTreeMap::new();
    for deployment in parts.values().flat_map(|part| &part.deployments) {
        for file in &deployment.dependencies {
            readers.entry(file.clone()).or_default().push(deployment.id.clone());
        }
    }
    fleet.index = Arc::new(Index { root, aliases, parts, nested, watched, readers, settled, loaded: true });
    fleet
}
