//! The test server that images hold: a static binary, which runs in an image made `FROM scratch`.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::state::State;
use crate::{cache, process};

const PACKAGE: &str = "dhow-testserver";

/// Builds it, in seconds where nothing has changed.
///
/// The musl target is not on every machine; glibc, linked statically, serves as well: the server resolves no names.
pub fn up(state: &mut State) -> anyhow::Result<Value> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let dir = cache::dir()?.join("engines/testserver");
    let mut build = process::cargo();
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        PACKAGE,
        "--target",
        &target,
        "--target-dir",
    ]);
    build.arg(&dir).env("RUSTFLAGS", "-C target-feature=+crt-static").env_remove("CARGO_INCREMENTAL");
    // It is not delivered: what makes a program small takes time.
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(&mut build)?;
    let built = dir.join(&target).join("release").join(PACKAGE);
    if !built.is_file() {
        bail!("cargo built no {}", built.display());
    }
    // A copy: another checkout's build must not change what these tests run.
    let program = state.dir().join("testserver");
    let part = program.with_extension("part");
    let copied = std::fs::copy(&built, &part).and_then(|_| std::fs::rename(&part, &program));
    copied.with_context(|| format!("cannot write {}", program.display()))?;
    let busybox: Option<PathBuf> = process::find("busybox");
    Ok(json!({ "program": program, "busybox": busybox }))
}
