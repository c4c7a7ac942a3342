//! Where the deployments of a fleet lie: the standard layout, the patterns of `layout:`, the list `deployments:`.

use std::collections::{BTreeMap, BTreeSet};

use super::path;
use super::pattern::{Binding, Pattern, Segment, Slot};
use super::root::Root;
use super::tree::{EntryKind, Tree};
use crate::diagnostic::Diagnostic;
use crate::noun::TargetType;

/// Folders beside environments that hold what environments share, unless the fleet declares an environment so named.
const SHARED: [&str; 6] = ["base", "bases", "common", "components", "overlays", "shared"];

/// Where a pattern says no environment.
const ONLY_ENVIRONMENT: &str = "production";

/// What said that a folder is a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The standard layout; the folder that should name a type.
    Standard(String),
    /// A pattern: folders with nothing to run are something else.
    Pattern,
    /// The list.
    Listed,
}

/// A folder that may be a deployment.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) folder: String,
    pub(crate) spelled: String,
    pub(crate) hint: Option<TargetType>,
    pub(crate) origin: Origin,
    /// Why it cannot be entered.
    pub(crate) fault: Option<Diagnostic>,
}

/// What was found of one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    /// Where its file may lie.
    pub(crate) files: BTreeSet<String>,
    pub(crate) problems: Vec<Diagnostic>,
    /// A folder of it could not be looked into.
    pub(crate) broken: bool,
}

struct Search<'a> {
    tree: &'a dyn Tree,
    declared: BTreeSet<String>,
    only: Option<&'a BTreeSet<String>>,
    claimed: BTreeSet<String>,
    found: BTreeMap<String, Found>,
}

/// Every pattern of a fleet, the standard one first.
pub(crate) fn patterns(root: &Root) -> impl Iterator<Item = (Pattern, bool)> {
    std::iter::once((Pattern::standard(), true)).chain(root.layout.iter().cloned().map(|p| (p, false)))
}

/// Looks for deployments, by the service's name as its folder spells it. With `only`, for those of some services.
pub(crate) fn discover(
    tree: &dyn Tree,
    root: &Root,
    only: Option<&BTreeSet<String>>,
) -> BTreeMap<String, Found> {
    let (claimed, found) = (BTreeSet::new(), BTreeMap::new());
    let mut search = Search { tree, declared: root.spelled(), only, claimed, found };
    for listed in &root.listed {
        // Claimed whoever owns it, so that no pattern takes the folder for another service.
        search.claimed.insert(listed.folder.clone());
        if search.wants(listed.service.as_str()) {
            let found = search.found.entry(listed.service.to_string()).or_default();
            found.files.insert(path::join(&path::join("services", listed.service.as_str()), "dhow.yaml"));
            found.candidates.push(Candidate {
                folder: listed.folder.clone(),
                spelled: listed.environment.to_string(),
                hint: listed.target,
                origin: Origin::Listed,
                fault: None,
            });
        }
    }
    for (pattern, standard) in patterns(root) {
        search.walk(&pattern, standard, 0, "", &Binding::default());
    }
    search.found
}

impl Search<'_> {
    fn wants(&self, service: &str) -> bool {
        self.only.is_none_or(|only| only.contains(service))
    }

    fn walk(&mut self, pattern: &Pattern, standard: bool, depth: usize, folder: &str, binding: &Binding) {
        let service = service_of(pattern, binding);
        if service.as_deref().is_some_and(|name| !self.wants(name)) {
            return;
        }
        let Some(segment) = pattern.segments.get(depth) else {
            return self.candidate(pattern, standard, folder, binding);
        };
        if let Segment::Literal(name) = segment {
            return self.walk(pattern, standard, depth + 1, &path::join(folder, name), binding);
        }
        let entries = match self.tree.list(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let problem = Diagnostic::error(folder, format!("the folder cannot be read: {error}"));
                let found = self.found.entry(service.unwrap_or_default()).or_default();
                found.problems.push(problem);
                found.broken = true;
                return;
            }
        };
        for entry in entries {
            let mut bound = binding.clone();
            if entry.kind == EntryKind::File
                || entry.kind == EntryKind::Executable
                || segment.bind(&entry.name, &mut bound).is_none()
            {
                continue;
            }
            let below = path::join(folder, &entry.name);
            if let Some(name) = service_of(pattern, &bound).filter(|name| self.wants(name)) {
                let is_last = depth + 1 == pattern.segments.len();
                let found = self.found.entry(name.clone()).or_default();
                found.files.insert(path::join(&path::join("services", &name), "dhow.yaml"));
                if matches!(segment, Segment::Slot { slot: Slot::Service, .. }) && !is_last {
                    found.files.insert(path::join(&below, "dhow.yaml"));
                }
            }
            match entry.kind {
                EntryKind::Folder => self.walk(pattern, standard, depth + 1, &below, &bound),
                kind => self.obstacle(pattern, depth, &below, &bound, kind),
            }
        }
    }

    /// A symbolic link or a submodule where a folder was expected.
    fn obstacle(&mut self, pattern: &Pattern, depth: usize, below: &str, bound: &Binding, kind: EntryKind) {
        let Some(service) = service_of(pattern, bound).filter(|name| self.wants(name)) else { return };
        let found = self.found.entry(service).or_default();
        if kind == EntryKind::Submodule {
            let message = "this is a submodule; nothing in it is deployed";
            found
                .problems
                .push(Diagnostic::warning(below, message).help("put the files into the fleet itself"));
            return;
        }
        let fault = Diagnostic::error(below, "this is a symbolic link; it is not followed")
            .help("put a folder there, or name the folder that it points to under deployments in dhow.yaml");
        if depth + 1 < pattern.segments.len() {
            found.problems.push(fault);
            found.broken = true;
            return;
        }
        found.candidates.push(Candidate {
            folder: below.to_owned(),
            spelled: environment_of(pattern, bound),
            hint: hint_of(pattern, bound),
            origin: Origin::Pattern,
            fault: Some(fault),
        });
    }

    fn candidate(&mut self, pattern: &Pattern, standard: bool, folder: &str, binding: &Binding) {
        let Some(service) = service_of(pattern, binding) else { return };
        let spelled = environment_of(pattern, binding);
        let shared = SHARED.contains(&spelled.as_str()) || spelled.starts_with('_');
        if (shared && !self.declared.contains(&spelled)) || (!standard && folder == "services") {
            return;
        }
        if !self.claimed.insert(folder.to_owned()) {
            return;
        }
        let origin = match standard {
            true => Origin::Standard(binding.target.clone().unwrap_or_default()),
            false => Origin::Pattern,
        };
        let hint = hint_of(pattern, binding);
        let candidate = Candidate { folder: folder.to_owned(), spelled, hint, origin, fault: None };
        self.found.entry(service).or_default().candidates.push(candidate);
    }
}

/// The service whose folder a pattern's binding is in.
pub(crate) fn service_of(pattern: &Pattern, binding: &Binding) -> Option<String> {
    pattern.service.as_ref().map(ToString::to_string).or_else(|| binding.service.clone())
}

fn environment_of(pattern: &Pattern, binding: &Binding) -> String {
    let said = pattern.environment.as_ref().map(ToString::to_string);
    said.or_else(|| binding.environment.clone()).unwrap_or_else(|| ONLY_ENVIRONMENT.to_owned())
}

fn hint_of(pattern: &Pattern, binding: &Binding) -> Option<TargetType> {
    pattern.target.or_else(|| binding.target.as_deref().and_then(|name| name.parse().ok()))
}
