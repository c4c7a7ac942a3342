//! `cargo xtask crash`: kills the binary at every instant of its voyages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::engines::{self, Engine};
use crate::process;

/// Kill the binary at every instant of its voyages, or at random under load, and compare the ends
///
/// Arguments are those of the harness: `cargo xtask crash -- --help` lists them. Without any, every point of every
/// scenario is died at; `--kills 500 --seed 1` kills at random; `--engines` rolls out on real engines too.
#[derive(Args)]
pub struct Crash {
    /// Arguments for the harness
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    harness: Vec<String>,
}

impl Crash {
    pub fn run(self) -> anyhow::Result<()> {
        // With the features of a test run (`--examples` brings them), so that what that built is not built again.
        let programs = ["--bin", "dhow", "--bin", "dhow-crash", "--examples"];
        process::run(process::cargo().args(["build", "--locked", "--workspace"]).args(programs))?;
        let mut harness = Command::new(program("dhow-crash")?);
        harness.arg("--dhow").arg(program("dhow")?).args(&self.harness);
        harness.env("PATH", process::search_path());
        let up_already = std::env::var_os("DHOW_ENGINES").is_some();
        if up_already || !self.harness.iter().any(|argument| argument == "--engines") {
            return process::run(&mut harness);
        }
        engines::during(&Engine::DEPLOYS, |file| process::run(harness.env("DHOW_ENGINES", file)))
    }
}

/// A program that cargo built: a debug build, as only that knows the points.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| process::root().join("target"));
    let program = target.join("debug").join(name);
    ensure!(program.is_file(), "{} was not built", program.display());
    program.canonicalize().with_context(|| program.display().to_string())
}
