//! What a Compose or stack file names: `include`, `extends.file`, `env_file`, `configs`, `secrets`, bind mounts.

use super::{MAX_STEPS, Walk};
use crate::yaml::{Kind, Node, Parsed};

/// Follows one Compose file.
pub(super) fn compose(walk: &mut Walk<'_>, file: &str, steps: usize) {
    walk.read(file, |walk, parsed| {
        for document in &parsed.documents {
            let services = document.get("services").map(Node::entries).unwrap_or_default();
            for (_, service) in services {
                one_service(walk, file, parsed, service, steps);
            }
            for item in document.get("include").map(Node::items).unwrap_or_default() {
                include(walk, file, parsed, item, steps);
            }
            for section in ["configs", "secrets"] {
                for (_, value) in document.get(section).map(Node::entries).unwrap_or_default() {
                    if let Some(node) = value.get("file") {
                        mentioned(walk, file, parsed, node);
                    }
                }
            }
        }
    });
}

fn one_service(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, service: &Node, steps: usize) {
    for key in ["env_file", "label_file"] {
        for node in one_or_many(service.get(key)) {
            mentioned(walk, file, parsed, node.get("path").unwrap_or(node));
        }
    }
    if let Some(node) = service.get("extends").and_then(|n| n.get("file")) {
        follow(walk, file, parsed, node, steps);
    }
    for volume in service.get("volumes").map(Node::items).unwrap_or_default() {
        let short = volume.as_str().filter(|text| text.starts_with('.'));
        if let Some(text) = short {
            let source = text.split(':').next().unwrap_or("").to_owned();
            let node = Node { at: volume.at, kind: Kind::Scalar { text: source, plain: true } };
            mentioned(walk, file, parsed, &node);
        } else if volume.get("type").and_then(Node::as_str) == Some("bind")
            && let Some(source) =
                volume.get("source").filter(|n| n.as_str().is_some_and(|s| s.starts_with('.')))
        {
            mentioned(walk, file, parsed, source);
        }
    }
}

fn include(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, item: &Node, steps: usize) {
    if item.as_str().is_some() {
        return follow(walk, file, parsed, item, steps);
    }
    for node in one_or_many(item.get("path")) {
        follow(walk, file, parsed, node, steps);
    }
    for node in one_or_many(item.get("env_file")) {
        mentioned(walk, file, parsed, node);
    }
}

/// A file that is used as it is. An absolute path lies on the server, not in the fleet.
fn mentioned(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, node: &Node) {
    if node.as_str().is_some_and(|text| text.starts_with('/')) {
        return;
    }
    if let Some(path) = walk.named(file, parsed, node) {
        walk.whole(&path);
    }
}

/// A Compose file that is read in its turn.
fn follow(walk: &mut Walk<'_>, file: &str, parsed: &Parsed<'_>, node: &Node, steps: usize) {
    let Some(path) = walk.named(file, parsed, node) else { return };
    if steps >= MAX_STEPS {
        return walk.error(
            file,
            parsed,
            node.at,
            format!("files name other files more than {MAX_STEPS} times"),
        );
    }
    compose(walk, &path, steps + 1);
}

fn one_or_many(node: Option<&Node>) -> Vec<&Node> {
    match node {
        None => Vec::new(),
        Some(node) => match &node.kind {
            Kind::Seq(items) => items.iter().collect(),
            _ => vec![node],
        },
    }
}
