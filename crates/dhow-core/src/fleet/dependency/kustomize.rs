//! What a kustomization names: resources, bases, components, patches, files of generators.

use super::{MAX_STEPS, Walk};
use crate::fleet::path;
use crate::yaml::{Kind, Node, Parsed};

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Lists of files and folders.
const LISTS: [&str; 9] = [
    "resources",
    "bases",
    "components",
    "patchesStrategicMerge",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
];

/// Follows the kustomization of a folder, where it has one.
pub(super) fn kustomization(walk: &mut Walk<'_>, folder: &str, steps: usize) {
    let entries = walk.tree.list(folder).unwrap_or_default();
    let Some(name) = NAMES.into_iter().find(|name| entries.iter().any(|e| e.name == *name)) else { return };
    let file = path::join(folder, name);
    walk.read(&file, |walk, parsed| {
        for document in &parsed.documents {
            one_document(walk, &file, parsed, document, steps);
        }
    });
}

fn one_document(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, document: &Node, steps: usize) {
    for key in LISTS {
        for node in document.get(key).map(Node::items).unwrap_or_default() {
            resource(walk, file, parsed, node, steps);
        }
    }
    for key in ["patches", "patchesJson6902", "replacements"] {
        for node in document.get(key).map(Node::items).unwrap_or_default() {
            if let Some(node) = node.get("path") {
                resource(walk, file, parsed, node, steps);
            }
        }
    }
    for key in ["configMapGenerator", "secretGenerator"] {
        for generator in document.get(key).map(Node::items).unwrap_or_default() {
            generated(walk, file, parsed, generator, steps);
        }
    }
    if let Some(node) = document.get("openapi").and_then(|n| n.get("path")) {
        resource(walk, file, parsed, node, steps);
    }
}

fn generated(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, generator: &Node, steps: usize) {
    for node in generator.get("files").map(Node::items).unwrap_or_default() {
        let Some(text) = node.as_str() else { continue };
        let text = text.split_once('=').map_or(text, |(_, file)| file).to_owned();
        let node = Node { at: node.at, kind: Kind::Scalar { text, plain: false } };
        resource(walk, file, parsed, &node, steps);
    }
    let many = generator.get("envs").map(Node::items).unwrap_or_default();
    for node in many.iter().chain(generator.get("env")) {
        resource(walk, file, parsed, node, steps);
    }
}

/// A file, a folder with a kustomization, a remote address or an inline patch.
fn resource(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, node: &Node, steps: usize) {
    let Some(text) = node.as_str() else { return };
    let remote = text.contains("://")
        || text.contains("?ref=")
        || text.starts_with("git@")
        || text.starts_with("github.com/");
    if remote || text.contains('\n') {
        return;
    }
    let Some(path) = walk.named(file, parsed, node) else { return };
    let is_folder = !walk.tree.list(&path).unwrap_or_default().is_empty();
    if !is_folder {
        return walk.record(&path);
    }
    if steps >= MAX_STEPS {
        return walk.error(
            file,
            parsed,
            node.at,
            format!("files name other files more than {MAX_STEPS} times"),
        );
    }
    if !path::is_within(&path, walk.folder) {
        walk.found.folders.insert(path.clone());
    }
    kustomization(walk, &path, steps + 1);
}
