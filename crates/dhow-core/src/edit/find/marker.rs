//! Flux markers: `# {"$imagepolicy": "<ns>:<name>"}` at the end of a value's line, or with `:tag`, `:name`, `:digest`.
//!
//! As in Flux, the whole comment is a JSON object of strings, and only a single value can be marked. Flux takes a
//! comment on a line of its own above a list's item too; here only the end of the value's line counts.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::edit::MARKER;
use crate::edit::problem::ProblemKind;
use crate::edit::site::{Form, MarkerField, Role, SiteKey};
use crate::edit::tree::{Kind, Place, Tree};

use super::{Finder, Site, base_name, is_interpolated, kustomize};

pub(super) fn find(finder: &mut Finder<'_>) {
    let tree = finder.tree;
    report_block_scalars(finder);
    if !tree.comments.iter().any(|comment| comment.text.contains(MARKER)) {
        return;
    }
    let ends = value_ends(tree);
    let declared = declared(finder);
    let first = finder.found.sites.len();
    for comment in tree.comments.iter().filter(|comment| comment.text.contains(MARKER)) {
        let position = (comment.line, comment.column);
        let before = line_before(finder.text, comment.start);
        let (key, field) = match read(&comment.text) {
            Ok(Some(read)) => read,
            // Words with a marker in them; a value that was commented out.
            Ok(None) if before.trim().is_empty() || !comment.text.trim_start().starts_with('{') => continue,
            Ok(None) => {
                stray(
                    finder,
                    position,
                    "the comment looks like a Flux marker and is no JSON object of strings",
                );
                continue;
            }
            Err(message) => {
                stray(finder, position, &message);
                continue;
            }
        };
        match marked(tree, &ends, finder.text, comment.start) {
            Some(node) if declared.iter().any(|range| range.contains(&node)) => {
                let message = format!("the marker of {key} stands under artifacts:, which holds no versions");
                let help = "move it to the value that the deployment runs";
                finder.problem_at(position, ProblemKind::NotEditable, Some(key), message, help);
            }
            Some(node) => take(finder, node, key, field),
            None => unmarked(finder, position, key, before),
        }
    }
    share(finder, first);
}

/// The policy and the field that a comment names. `Ok(None)`: it is no marker.
fn read(comment: &str) -> Result<Option<(SiteKey, MarkerField)>, String> {
    let Ok(object) = serde_json::from_str::<BTreeMap<String, String>>(comment.trim_start_matches('#')) else {
        return Ok(None);
    };
    let Some(setter) = object.get(MARKER) else { return Ok(None) };
    let parts: Vec<&str> = setter.split(':').collect();
    let (namespace, name, field) = match parts[..] {
        [namespace, name] => (namespace, name, MarkerField::Whole),
        [namespace, name, "tag"] => (namespace, name, MarkerField::Tag),
        [namespace, name, "name"] => (namespace, name, MarkerField::Name),
        [namespace, name, "digest"] => (namespace, name, MarkerField::Digest),
        _ => ("", "", MarkerField::Whole),
    };
    if namespace.is_empty() || name.is_empty() {
        let shown: String = setter.chars().take(100).collect();
        return Err(format!("the marker {shown:?} names no policy"));
    }
    Ok(Some((SiteKey::Marker { namespace: namespace.to_owned(), name: name.to_owned() }, field)))
}

fn stray(finder: &mut Finder<'_>, position: (usize, usize), message: &str) {
    let help = r##"write # {"$imagepolicy": "NAMESPACE:NAME"}, or NAMESPACE:NAME:tag, :name or :digest"##;
    finder.problem_at(position, ProblemKind::StrayMarker, None, message.to_owned(), help);
}

/// Where values (not keys) end, in the order of the text.
fn value_ends(tree: &Tree<'_>) -> Vec<(usize, usize)> {
    let single = |node: &usize| matches!(tree.nodes[*node].kind, Kind::Scalar { .. } | Kind::Alias(_));
    let value =
        |node: &usize| !matches!(tree.nodes[*node].place, Place::Key) && !tree.nodes[*node].span.is_empty();
    (0..tree.nodes.len()).filter(single).filter(value).map(|node| (tree.nodes[node].span.end, node)).collect()
}

/// The value that a comment stands behind, with nothing but blanks, or the comma of a list, between them.
fn marked(tree: &Tree<'_>, ends: &[(usize, usize)], text: &str, comment: usize) -> Option<usize> {
    let at = ends.partition_point(|(end, _)| *end <= comment);
    let (end, node) = *ends.get(at.checked_sub(1)?)?;
    let between = text.get(end..comment)?;
    let blank = |c: char| c == ' ' || c == '\t';
    let between = between.trim_start_matches(blank);
    let between = between.strip_prefix(',').unwrap_or(between).trim_start_matches(blank);
    (between.is_empty() && !tree.nodes[node].span.is_empty()).then_some(node)
}

fn line_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    &before[before.rfind(['\n', '\r']).map_or(0, |end| end + 1)..]
}

fn unmarked(finder: &mut Finder<'_>, position: (usize, usize), key: SiteKey, before: &str) {
    let header = before.trim_end().trim_end_matches(|c: char| "+-".contains(c) || c.is_ascii_digit());
    let (what, help) = if header.ends_with(['|', '>']) {
        ("marks a block scalar", "write the value on one line, plain or in quotes")
    } else {
        ("stands behind no value", "put it at the end of the value's own line")
    };
    let message = format!("the marker of {key} {what}");
    finder.problem_at(position, ProblemKind::NotEditable, Some(key), message, help);
}

fn take(finder: &mut Finder<'_>, node: usize, key: SiteKey, field: MarkerField) {
    let target = finder.tree.resolve(node);
    if finder.tree.scalar(target).is_some_and(is_interpolated) {
        finder.taken.extend([node, target]);
        return;
    }
    let form = Form::Marker(field);
    if finder.taken.contains(&target) {
        let same =
            |site: &Site| site.key == key && site.form == form && site.parts.iter().any(|p| p.node == target);
        if !finder.found.sites.iter().any(same) {
            finder.not_editable(node, key, "has another marker already");
        }
        return;
    }
    let role = match field {
        MarkerField::Whole => Role::Whole,
        MarkerField::Tag => Role::Tag,
        MarkerField::Name => Role::Name,
        MarkerField::Digest => Role::Digest,
    };
    finder.taken.insert(node);
    match finder.part(node, role) {
        Ok(part) => {
            finder.site(form, key, vec![part]);
        }
        Err(reason) => {
            finder.taken.insert(target);
            finder.not_editable(node, key, reason);
        }
    }
}

/// Markers of one policy in one mapping hold one version: each site says all that is known of it.
fn share(finder: &mut Finder<'_>, first: usize) {
    let parent_of = |finder: &Finder<'_>, at: usize| finder.tree.nodes[finder.starts[at]].parent;
    let mut groups: HashMap<(Option<usize>, SiteKey), Vec<usize>> = HashMap::new();
    for at in first..finder.found.sites.len() {
        groups.entry((parent_of(finder, at), finder.found.sites[at].key.clone())).or_default().push(at);
    }
    for ((parent, _), members) in groups {
        let sites = &finder.found.sites;
        let images = |entry: usize| finder.tree.nodes[entry].parent.and_then(|list| finder.tree.key_of(list));
        let entry = parent.filter(|entry| images(*entry) == Some("images"));
        let beside = || entry.and_then(|entry| kustomize::repository(finder, entry));
        let repository = members.iter().find_map(|at| sites[*at].repository.clone()).or_else(beside);
        let tag = members.iter().find_map(|at| sites[*at].tag.clone());
        let digest = members.iter().find_map(|at| sites[*at].digest);
        for at in members {
            let site = &mut finder.found.sites[at];
            site.repository = site.repository.take().or_else(|| repository.clone());
            site.tag = site.tag.take().or_else(|| tag.clone());
            site.digest = site.digest.or(digest);
        }
    }
}

/// What stands under `artifacts:` of a `dhow.yaml`.
fn declared(finder: &Finder<'_>) -> Vec<Range<usize>> {
    if base_name(finder.file) != "dhow.yaml" {
        return Vec::new();
    }
    let tree = finder.tree;
    (0..tree.nodes.len())
        .filter(|node| tree.key_of(*node) == Some("artifacts"))
        .map(|node| node..tree.nodes[node].end)
        .collect()
}

/// Text in a block scalar that reads like a marker is text: it is never touched, and told once a scalar.
fn report_block_scalars(finder: &mut Finder<'_>) {
    let tree = finder.tree;
    for node in 0..tree.nodes.len() {
        let Kind::Scalar { value, style } = &tree.nodes[node].kind else { continue };
        let block = matches!(style, granit_parser::ScalarStyle::Literal | granit_parser::ScalarStyle::Folded);
        if block && value.contains(MARKER) {
            let message = "a Flux marker inside a block scalar is text, and marks nothing".to_owned();
            let help = "move the marked value into a file of its own if it is to be updated";
            finder.problem(node, ProblemKind::StrayMarker, None, message, help);
        }
    }
}
