//! Fleets as values: a tree in memory goes in, a fleet comes out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod configuration;
mod dependencies;
mod desired_hash;
mod layout;
mod reload;
mod routes;
mod rules;
mod static_servers;

use dhow_core::diagnostic::{Diagnostic, Severity};
use dhow_core::fleet::{Fleet, MemoryTree, load};

/// A tree of these files.
fn tree(files: &[(&str, &str)]) -> MemoryTree {
    MemoryTree::new(files.iter().map(|(path, text)| (*path, text.as_bytes())))
}

/// The fleet of these files.
fn fleet(files: &[(&str, &str)]) -> Fleet {
    load(&tree(files))
}

/// The fleet's errors.
fn errors(fleet: &Fleet) -> Vec<&Diagnostic> {
    fleet.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect()
}

/// The only finding of these files.
fn only(files: &[(&str, &str)]) -> Diagnostic {
    let fleet = fleet(files);
    assert_eq!(fleet.diagnostics.len(), 1, "{:#?}", fleet.diagnostics);
    fleet.diagnostics[0].clone()
}

/// The fleet's deployments, as text.
fn deployments(fleet: &Fleet) -> Vec<String> {
    fleet.deployments.keys().map(ToString::to_string).collect()
}

/// A Compose file that runs something.
const COMPOSE: &str = "services:\n  web:\n    image: nginx:1\n";
