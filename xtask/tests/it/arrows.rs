//! The arrows between crates: adapters and engine know the core, never each other.

use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Each crate of the workspace, and the crates of the workspace that it may name.
const ARROWS: [(&str, &[&str]); 17] = [
    ("dhow-alloc", &[]),
    ("dhow-core", &[]),
    ("dhow-testkit", &["dhow-core"]),
    ("dhow-file", &[]),
    ("dhow-store", &["dhow-core"]),
    ("dhow-git", &["dhow-core"]),
    ("dhow-registry", &["dhow-core", "dhow-file"]),
    ("dhow-static", &["dhow-core", "dhow-file"]),
    ("dhow-docker", &["dhow-core"]),
    ("dhow-engine", &["dhow-core"]),
    ("dhow-web", &["dhow-core", "dhow-engine"]),
    (
        "dhow",
        &[
            "dhow-alloc",
            "dhow-core",
            "dhow-store",
            "dhow-git",
            "dhow-registry",
            "dhow-static",
            "dhow-docker",
            "dhow-engine",
            "dhow-web",
        ],
    ),
    ("dhow-crash", &["dhow-core", "dhow-registry", "dhow-testkit"]),
    (
        "dhow-fuzz",
        &["dhow-core", "dhow-testkit", "dhow-git", "dhow-registry", "dhow-static", "dhow-docker", "dhow-web"],
    ),
    ("dhow-bench", &["dhow-core", "dhow-registry", "dhow-store"]),
    ("dhow-testserver", &[]),
    ("xtask", &[]),
];

/// What would bring a runtime, a network, a disk or a database into the core.
const NOT_IN_CORE: [&str; 12] = [
    "async-std",
    "axum",
    "gix",
    "hyper",
    "hyper-util",
    "reqwest",
    "rustix",
    "smol",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-util",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Build,
    Tests,
}

/// Why a crate may not depend on another, if it may not.
fn offence(from: &str, to: &str, kind: Use, arrows: &[(&str, &[&str])]) -> Option<String> {
    let Some((_, allowed)) = arrows.iter().find(|(name, _)| *name == from) else {
        return Some(format!("{from} has no line in ARROWS: decide what it may depend on"));
    };
    if from == "dhow-core" && kind == Use::Build && NOT_IN_CORE.contains(&to) {
        return Some(format!("dhow-core -> {to}: the core has no runtime, network, disk or database"));
    }
    let ours = to == "dhow" || to.starts_with("dhow-") || to == "xtask";
    // The twins and contract tests serve everybody's tests, but for the core, which they depend on.
    let twins = to == "dhow-testkit" && kind == Use::Tests && from != "dhow-core";
    // The kill harness drives the binary from outside; the binary's tests drive the harness.
    let harness = to == "dhow-crash" && kind == Use::Tests && from == "dhow";
    if ours && !twins && !harness && !allowed.contains(&to) {
        return Some(format!("{from} -> {to}: no such arrow in docs/architecture.md"));
    }
    None
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(tree::root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut offences = Vec::new();
    let packages = packages();
    for package in &packages {
        let from = package["name"].as_str().expect("a package has a name");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let to = dependency["name"].as_str().expect("a dependency has a name");
            let kind = if dependency["kind"] == "dev" { Use::Tests } else { Use::Build };
            offences.extend(offence(from, to, kind, &ARROWS));
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn every_crate_has_its_arrows_written_down() {
    let mut found: Vec<_> = packages().iter().map(|package| package["name"].to_string()).collect();
    let mut known: Vec<_> = ARROWS.iter().map(|(name, _)| format!("{name:?}")).collect();
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn forbidden_arrows_are_told() {
    let forbidden = [
        ("dhow-core", "tokio", Use::Build),
        ("dhow-core", "dhow-testkit", Use::Tests),
        ("dhow-store", "dhow-git", Use::Build),
        ("dhow-store", "dhow-git", Use::Tests),
        ("dhow-engine", "dhow-store", Use::Tests),
        ("dhow-engine", "dhow-testkit", Use::Build),
        ("dhow-web", "dhow-store", Use::Build),
        ("dhow", "dhow-testkit", Use::Build),
        ("dhow", "dhow-crash", Use::Build),
        ("dhow-engine", "dhow-crash", Use::Tests),
        ("dhow-unheard-of", "serde", Use::Build),
    ];
    for (from, to, kind) in forbidden {
        assert!(offence(from, to, kind, &ARROWS).is_some(), "{from} -> {to}");
    }
    let allowed = [
        ("dhow-core", "serde", Use::Build),
        ("dhow-store", "dhow-core", Use::Build),
        ("dhow-store", "dhow-testkit", Use::Tests),
        ("dhow-web", "dhow-engine", Use::Build),
        ("dhow", "dhow-static", Use::Build),
        ("dhow", "dhow-crash", Use::Tests),
    ];
    for (from, to, kind) in allowed {
        assert_eq!(offence(from, to, kind, &ARROWS), None, "{from} -> {to}");
    }
}
