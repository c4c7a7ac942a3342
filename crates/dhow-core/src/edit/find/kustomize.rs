//! The `images:` of a kustomization: entries of `name`, `newName`, `newTag` and `digest`.

use crate::edit::problem::ProblemKind;
use crate::edit::site::{Form, Role, SiteKey};
use crate::edit::tree::{Kind, Place};
use crate::noun::Repository;

use super::{Finder, base_name};

pub(super) fn find(finder: &mut Finder<'_>) {
    if !matches!(base_name(finder.file), "kustomization.yaml" | "kustomization.yml" | "Kustomization") {
        return;
    }
    for entry in entries(finder) {
        take(finder, entry);
    }
}

/// The entries of `images:` in every document.
fn entries(finder: &Finder<'_>) -> Vec<usize> {
    let tree = finder.tree;
    let roots = (0..tree.nodes.len()).filter(|node| matches!(tree.nodes[*node].place, Place::Root(_)));
    roots
        .filter(|root| tree.nodes[*root].kind == Kind::Mapping)
        .flat_map(|root| tree.values_of(root, "images").map(|images| tree.resolve(images)))
        .filter(|images| tree.nodes[*images].kind == Kind::Sequence)
        .flat_map(|images| tree.children(images).map(|entry| tree.resolve(entry)))
        .filter(|entry| tree.nodes[*entry].kind == Kind::Mapping)
        .collect()
}

/// What an entry's image is called after kustomize has run: `newName`, else `name`.
pub(super) fn repository(finder: &Finder<'_>, entry: usize) -> Option<Repository> {
    let value = |key| {
        let node = finder.tree.values_of(entry, key).last()?;
        finder.tree.scalar(finder.tree.resolve(node)).filter(|value| !value.is_empty())
    };
    value("newName").or_else(|| value("name"))?.parse().ok()
}

fn take(finder: &mut Finder<'_>, entry: usize) {
    let spoken_for =
        |node: usize| finder.taken.contains(&node) || finder.taken.contains(&finder.tree.resolve(node));
    if finder.tree.children(entry).any(spoken_for) {
        return;
    }
    let Some(repository) = repository(finder, entry).filter(|found| finder.request.wants(found)) else {
        return;
    };
    let key = SiteKey::Repository(repository.clone());
    let mut parts = Vec::new();
    for (name, role) in [("newTag", Role::Tag), ("digest", Role::Digest)] {
        let nodes: Vec<usize> = finder.tree.values_of(entry, name).collect();
        for node in nodes {
            if finder.tree.scalar(finder.tree.resolve(node)).is_some_and(super::is_interpolated) {
                return;
            }
            match finder.part(node, role) {
                Ok(part) => parts.push(part),
                Err(reason) => return finder.not_editable(node, key, reason),
            }
        }
    }
    if parts.is_empty() {
        let message =
            format!("the entry of {repository} has neither newTag nor digest, so it holds no version");
        return finder.problem(
            entry,
            ProblemKind::NotEditable,
            Some(key),
            message,
            "add newTag: and the tag that runs",
        );
    }
    parts.sort_by_key(|part| part.span.start);
    finder.site(Form::KustomizeImage, key, parts).repository = Some(repository);
}
