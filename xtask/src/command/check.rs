//! `cargo xtask check`: all that is checked without running the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::{cache, process};

/// The cargo-deny that is installed, whole in the cache.
const DENY: &str = "0.20.2";

/// Crates whose documentation nobody reads as pages: programs for developers.
const UNREAD: [&str; 5] = ["dhow-bench", "dhow-crash", "dhow-fuzz", "dhow-testserver", "xtask"];

/// Check format, lints, documentation, licences, bans and sources; warnings are errors
#[derive(Args)]
pub struct Check {}

impl Check {
    pub fn run(self) -> anyhow::Result<()> {
        step("format");
        process::run(process::cargo().args(["fmt", "--all", "--check"])).context("run `cargo fmt`")?;
        step("lints");
        let clippy =
            ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
        process::run(process::cargo().args(clippy))?;
        step("documentation");
        let mut doc = vec!["doc", "--quiet", "--locked", "--workspace", "--no-deps"];
        doc.extend(UNREAD.iter().flat_map(|name| ["--exclude", *name]));
        process::run(process::cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
        step("licences, bans and sources (security advisories need a network and are not checked)");
        deny()
    }
}

fn step(what: &str) {
    eprintln!("xtask: checking {what}");
}

fn deny() -> anyhow::Result<()> {
    let program = cargo_deny()?;
    // It reads the manifests of all platforms' packages; offline, they must be there before.
    process::run(process::cargo().args(["fetch", "--quiet", "--locked"]))?;
    let mut deny = Command::new(program);
    deny.current_dir(process::root()).args(["--offline", "--all-features", "--locked"]);
    process::run(deny.args(["check", "bans", "licenses", "sources"]))
}

/// The `cargo-deny` of the cache, built the first time. `cargo install` puts a program in its place
/// only when it is whole, so an interrupted build is begun again.
fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = tool_root(&cache::dir()?);
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("xtask: building cargo-deny {DENY} into {}, once", root.display());
        let install = ["install", "cargo-deny", "--quiet", "--locked", "--version", DENY, "--root"];
        process::run(process::cargo().args(install).arg(&root))
            .context("cannot install cargo-deny, which holds deny.toml")?;
    }
    Ok(program)
}

/// The version is part of the path, so that another version is another installation.
fn tool_root(cache: &Path) -> PathBuf {
    cache.join("tools").join(format!("cargo-deny-{DENY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_a_tool_is_installed_anew() {
        let root = tool_root(Path::new("/cache/dhow"));
        assert!(root.ends_with(format!("tools/cargo-deny-{DENY}")));
    }
}
