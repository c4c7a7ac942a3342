//! `docker compose` v2, built from its Go module once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::state::State;
use super::{docker, go};
use crate::{cache, process};

const MODULE: &str = "github.com/docker/compose/v2";

/// Builds it, and makes it a plugin of the tests' `docker`.
pub fn up(state: &mut State) -> anyhow::Result<Value> {
    let plugin = plugin()?;
    docker::plug(state, &plugin)?;
    Ok(json!({ "plugin": plugin, "version": version()? }))
}

/// The plugin, in the cache. A build that was interrupted is begun again: the file is put there whole.
pub fn plugin() -> anyhow::Result<PathBuf> {
    let version = version()?;
    let dir = cache::dir()?.join("engines").join(format!("compose-{version}-{:016x}", key()?));
    let plugin = dir.join("docker-compose");
    if !plugin.is_file() {
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        eprintln!("xtask: building docker compose {version} into {}, once (minutes)", dir.display());
        let part = dir.join(format!("part-{}", std::process::id()));
        process::run_quietly(&mut build(&version, &part)?)
            .context("cannot build docker compose from its Go module")?;
        fs::rename(&part, &plugin).with_context(|| format!("cannot write {}", plugin.display()))?;
    }
    Ok(plugin)
}

fn build(version: &str, to: &Path) -> anyhow::Result<Command> {
    let mut go = Command::new(go::program()?);
    go.current_dir(folder()).env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    go.args(["build", "-mod=readonly", "-trimpath", "-tags=e2e", "-o"]).arg(to);
    go.arg(format!("-ldflags=-s -w -X {MODULE}/internal.Version=v{version}")).arg(format!("{MODULE}/cmd"));
    Ok(go)
}

fn folder() -> PathBuf {
    process::root().join("tests/engines/compose")
}

fn version() -> anyhow::Result<String> {
    let file = folder().join("go.mod");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    match required(&text) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("{} does not require {MODULE}", file.display()),
    }
}

fn required(text: &str) -> Option<&str> {
    let words = |line: &'_ str| line.trim().strip_prefix(MODULE).map(str::len);
    let line = text.lines().find(|line| words(line).is_some() && line.contains(" v"))?;
    line.trim().strip_prefix(MODULE)?.trim_start().strip_prefix('v')?.split_whitespace().next()
}

/// Other modules are another build (FNV-1a: it must not change with the compiler).
fn key() -> anyhow::Result<u64> {
    let mut key = 0xcbf2_9ce4_8422_2325_u64;
    for file in ["go.mod", "go.sum"] {
        for byte in fs::read(folder().join(file)).with_context(|| format!("cannot read {file} of compose"))? {
            key = (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let text = "tool github.com/docker/compose/v2/cmd\n\nrequire (\n\tgithub.com/docker/compose/v2 v2.40.3 // indirect\n";
        assert_eq!(required(text), Some("2.40.3"));
        assert!(version().unwrap().starts_with("2."));
    }
}
