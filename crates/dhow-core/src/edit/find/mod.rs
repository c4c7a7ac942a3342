//! Which scalars of a file hold versions: one file a way to find them.

mod env;
mod image;
mod kustomize;
mod marker;
mod oob;
mod path;

use std::collections::{BTreeSet, HashSet};

use super::problem::{Problem, ProblemKind};
use super::site::{Form, Part, Role, Site, SiteKey};
use super::tree::{Tree, Unreadable};
use super::{MARKER, MAX_TEXT};
use crate::noun::{Digest, ImageReference, Repository, Tag};

pub(super) use env::values as env_values;

/// What to look for in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindRequest {
    /// The repositories whose versions are wanted; `None`: every reference that is written with certainty (in an
    /// `.env` file that is one with a `/` and a tag or digest). Markers are found in any case.
    pub repositories: Option<BTreeSet<Repository>>,
    /// The `oob` paths of this file: `.services.api.image`, `spec.containers[0].image`; of an `.env` file, its keys.
    pub oob: Vec<String>,
    /// Whether the file is an `.env` file, which the fleet names by hand. All others are read as YAML.
    pub env_file: bool,
}

impl FindRequest {
    fn wants(&self, repository: &Repository) -> bool {
        self.repositories.as_ref().is_none_or(|wanted| wanted.contains(repository))
    }
}

/// What is in a file: the sites in the order of the text, and what had to be left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Where versions stand.
    pub sites: Vec<Site>,
    /// What was left alone.
    pub problems: Vec<Problem>,
}

/// Whether a file of this name or path is looked at without being named: `*.yaml`, `*.yml` and `Kustomization`.
pub fn is_looked_at(file: &str) -> bool {
    let name = base_name(file);
    name.ends_with(".yaml") || name.ends_with(".yml") || name == "Kustomization"
}

/// Finds the versions in a text. `file` names it in sites and problems, and its last part says what the file is:
/// `dhow.yaml`, a kustomization, or any other. Never fails: what is wrong is among the problems.
pub fn find(file: &str, text: &str, request: &FindRequest) -> Found {
    let mut found = Found::default();
    if text.len() > MAX_TEXT {
        let size = text.len() / (1024 * 1024);
        found.problems.push(Problem {
            file: file.to_owned(),
            line: 1,
            column: 1,
            message: format!("the file has {size} MiB; at most {} are read", MAX_TEXT / (1024 * 1024)),
            help: "split it, or move it out of the fleet".to_owned(),
            kind: ProblemKind::TooLarge,
            key: None,
        });
        return found;
    }
    if request.env_file {
        return env::find(file, text, request);
    }
    let tree = match Tree::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            found.problems.push(unreadable(file, text, error));
            return found;
        }
    };
    let mut finder =
        Finder { file, text, tree: &tree, request, taken: HashSet::new(), starts: Vec::new(), found };
    marker::find(&mut finder);
    oob::find(&mut finder);
    kustomize::find(&mut finder);
    image::find(&mut finder);
    finder.finish()
}

fn base_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn unreadable(file: &str, text: &str, error: Unreadable) -> Problem {
    let (kind, help) = match (error.limit, text.contains(MARKER)) {
        (true, _) => (ProblemKind::TooLarge, "split the file; it was left alone"),
        (false, true) => (
            ProblemKind::ParseWithMarker,
            "correct it, or take its $imagepolicy markers out; the file was left alone",
        ),
        (false, false) => (ProblemKind::Parse, "correct it if versions are to be found there"),
    };
    Problem {
        file: file.to_owned(),
        line: error.line,
        column: error.column,
        message: format!("the file cannot be read as YAML: {}", error.message),
        help: help.to_owned(),
        kind,
        key: None,
    }
}

/// The state of one search.
struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    tree: &'a Tree<'a>,
    request: &'a FindRequest,
    /// Nodes that an earlier way has spoken for.
    taken: HashSet<usize>,
    /// The nodes whose bytes are each site's first, beside `found.sites`.
    starts: Vec<usize>,
    found: Found,
}

/// Whether a value is filled in by another program: no version stands there, and nobody is told.
fn is_interpolated(value: &str) -> bool {
    value.contains("${") || value.contains("{{") || value.contains("$(")
}

impl Finder<'_> {
    /// The scalar's bytes, through an alias at its anchor; or why they cannot be edited.
    fn part(&self, node: usize, role: Role) -> Result<Part, &'static str> {
        let target = self.tree.resolve(node);
        let quote = self.tree.editable(self.text, target)?;
        let scalar = &self.tree.nodes[target];
        Ok(Part {
            role,
            span: scalar.span.clone(),
            node: target,
            quote,
            value: self.tree.scalar(target).unwrap_or_default().to_owned(),
            line: scalar.line,
        })
    }

    fn problem(&mut self, node: usize, kind: ProblemKind, key: Option<SiteKey>, message: String, help: &str) {
        let node = &self.tree.nodes[node];
        self.problem_at((node.line, node.column), kind, key, message, help);
    }

    fn problem_at(
        &mut self,
        (line, column): (usize, usize),
        kind: ProblemKind,
        key: Option<SiteKey>,
        message: String,
        help: &str,
    ) {
        let (file, help) = (self.file.to_owned(), help.to_owned());
        self.found.problems.push(Problem { file, line, column, message, help, kind, key });
    }

    /// A version that stands where it cannot be edited. `reason` ends a sentence.
    fn not_editable(&mut self, node: usize, key: SiteKey, reason: &str) {
        let through = if self.tree.resolve(node) == node { "" } else { "its anchor's value " };
        let message = format!("the version of {key} cannot be set: {through}{reason}");
        let help = "write it as one value on one line, plain or in quotes";
        self.problem(node, ProblemKind::NotEditable, Some(key), message, help);
    }

    /// Adds a site of these parts; repository, tag and digest are read off them.
    fn site(&mut self, form: Form, key: SiteKey, parts: Vec<Part>) -> &mut Site {
        let start = parts.first().map_or(0, |part| part.node);
        let node = &self.tree.nodes[start];
        let mut site = Site {
            file: self.file.to_owned(),
            form,
            key,
            repository: None,
            tag: None,
            digest: None,
            line: node.line,
            column: node.column,
            parts,
        };
        read_parts(&mut site);
        self.taken.extend(site.parts.iter().map(|part| part.node));
        self.starts.push(start);
        let last = self.found.sites.len();
        self.found.sites.push(site);
        &mut self.found.sites[last]
    }

    fn finish(mut self) -> Found {
        self.found.sites.sort_by_key(|site| site.parts.first().map_or(0, |part| part.span.start));
        self.found.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.found
    }
}

/// Fills a site's repository, tag and digest from its scalars.
fn read_parts(site: &mut Site) {
    for part in &site.parts {
        match part.role {
            Role::Whole => {
                if let Ok(reference) = part.value.parse::<ImageReference>() {
                    site.repository = Some(reference.repository);
                    site.tag = reference.tag;
                    site.digest = reference.digest;
                }
            }
            Role::Name => site.repository = part.value.parse().ok(),
            Role::Tag => site.tag = Tag::new(part.value.as_str()).ok(),
            Role::Digest => site.digest = part.value.parse::<Digest>().ok(),
        }
    }
}

/// What a scalar holds that a person named by its path: a digest, a whole reference, or else a tag. `1.2` and
/// `latest` could be both; they are tags unless a repository of that name is wanted.
fn role_of(value: &str, request: &FindRequest) -> Option<Role> {
    if value.is_empty() {
        return Some(Role::Tag);
    }
    if value.parse::<Digest>().is_ok() {
        return Some(Role::Digest);
    }
    let whole = value.parse::<ImageReference>().is_ok_and(|reference| {
        let listed = request.repositories.as_ref().is_some_and(|r| r.contains(&reference.repository));
        listed || value.contains(['/', ':', '@'])
    });
    if whole {
        return Some(Role::Whole);
    }
    Tag::new(value).is_ok().then_some(Role::Tag)
}
