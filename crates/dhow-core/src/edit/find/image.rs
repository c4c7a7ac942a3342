//! `image:` at any depth, and `bundle:` of a `dhow.yaml`, by the repository that stands there.

use crate::edit::site::{Form, Role, SiteKey};
use crate::edit::tree::Place;
use crate::noun::ImageReference;

use super::{Finder, base_name};

pub(super) fn find(finder: &mut Finder<'_>) {
    let dhow = base_name(finder.file) == "dhow.yaml";
    let mut node = 0;
    while node < finder.tree.nodes.len() {
        let (key, end) = (finder.tree.key_of(node), finder.tree.nodes[node].end);
        // What `artifacts:` declares is no version of a deployment.
        if dhow && key == Some("artifacts") {
            node = end;
            continue;
        }
        let form = match key {
            Some("image") => Some(Form::Image),
            Some("bundle") if dhow && is_top_level(finder, node) => Some(Form::Bundle),
            _ => None,
        };
        if let Some(form) = form {
            take(finder, node, form);
        }
        node += 1;
    }
}

fn is_top_level(finder: &Finder<'_>, node: usize) -> bool {
    let parent = finder.tree.nodes[node].parent;
    parent.is_some_and(|parent| matches!(finder.tree.nodes[parent].place, Place::Root(_)))
}

fn take(finder: &mut Finder<'_>, node: usize, form: Form) {
    let target = finder.tree.resolve(node);
    if finder.taken.contains(&node) || finder.taken.contains(&target) {
        return;
    }
    let Some(value) = finder.tree.scalar(target) else { return };
    let Ok(reference) = value.trim().parse::<ImageReference>() else { return };
    if !finder.request.wants(&reference.repository) {
        return;
    }
    let key = SiteKey::Repository(reference.repository);
    match finder.part(node, Role::Whole) {
        Ok(part) => {
            finder.site(form, key, vec![part]);
        }
        Err(reason) => finder.not_editable(node, key, reason),
    }
}
