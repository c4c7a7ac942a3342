//! Scalars that a path names: a whole reference, a tag or a digest, whichever stands there.

use crate::edit::problem::ProblemKind;
use crate::edit::site::{Form, SiteKey};
use crate::edit::tree::{Kind, Place};

use super::path::{self, Step};
use super::{Finder, is_interpolated, role_of};

pub(super) fn find(finder: &mut Finder<'_>) {
    for path in &finder.request.oob {
        let key = SiteKey::Oob { path: path.clone() };
        match path::parse(path) {
            Ok(steps) => take(finder, key, &steps),
            Err(reason) => {
                nowhere(finder, key, &reason, "write it like .services.api.image or containers[0].image")
            }
        }
    }
}

fn nowhere(finder: &mut Finder<'_>, key: SiteKey, reason: &str, help: &str) {
    let message = format!("the path {key} {reason}");
    finder.problem_at((1, 1), ProblemKind::NotEditable, Some(key), message, help);
}

fn take(finder: &mut Finder<'_>, key: SiteKey, steps: &[Step]) {
    let nodes = walk(finder, steps);
    let [node] = nodes[..] else {
        return match nodes.get(1) {
            None => nowhere(finder, key, "leads to nothing in the file", "correct the path, or the file"),
            Some(second) => {
                let message = format!("the path {key} leads to {} places, this is the second", nodes.len());
                let help = "keep one of them; a path must lead to exactly one value";
                finder.problem(*second, ProblemKind::NotEditable, Some(key), message, help);
            }
        };
    };
    let target = finder.tree.resolve(node);
    // A marker wins.
    if finder.taken.contains(&node) || finder.taken.contains(&target) {
        return;
    }
    let value = finder.tree.scalar(target).unwrap_or_default().to_owned();
    if is_interpolated(&value) {
        finder.taken.extend([node, target]);
        return;
    }
    let part = match role_of(value.trim(), finder.request) {
        Some(role) => finder.part(node, role),
        None => Err("is neither a reference, nor a tag, nor a digest"),
    };
    match part {
        Ok(part) => {
            finder.site(Form::Oob, key, vec![part]);
        }
        Err(reason) => finder.not_editable(node, key, reason),
    }
}

/// The nodes that a path leads to, in all documents.
fn walk(finder: &Finder<'_>, steps: &[Step]) -> Vec<usize> {
    let tree = finder.tree;
    let roots = (0..tree.nodes.len()).filter(|node| matches!(tree.nodes[*node].place, Place::Root(_)));
    let mut at: Vec<usize> = roots.collect();
    for step in steps {
        let mut next = Vec::new();
        for node in at {
            let node = tree.resolve(node);
            match (step, &tree.nodes[node].kind) {
                (Step::Key(key), Kind::Mapping) => next.extend(tree.values_of(node, key)),
                (Step::Item(number), Kind::Sequence) => next.extend(tree.children(node).nth(*number)),
                _ => {}
            }
        }
        at = next;
    }
    at
}
