//! `cargo xtask bench`: figures against their goals.

use std::path::Path;

use clap::Args;

use crate::engines::{self, Engine};
use crate::{debian, process};

/// Measure a release build against its goals; what stands beside it is installed from Debian
///
/// The name `docker` measures rollouts on real engines beside the bare commands, `DHOW_ROUNDS` of each (20).
#[derive(Args)]
pub struct Bench {
    /// Arguments for the benchmark: names, `--output json`, `--write FILE`, `--quick`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// What is measured beside Dhow, and by what: each package's program.
const BESIDE: [(&str, &str); 3] =
    [("docker-registry", "docker-registry"), ("nginx-light", "nginx"), ("wrk", "wrk")];

/// Measured on real engines, by tests that a test run leaves out.
const DOCKER: &str = "docker";

impl Bench {
    pub fn run(mut self) -> anyhow::Result<()> {
        let docker = self.args.iter().position(|arg| arg == DOCKER);
        if let Some(at) = docker {
            self.args.remove(at);
            engines::during(&Engine::DEPLOYS, measure_docker)?;
        }
        if docker.is_some() && self.args.is_empty() {
            return Ok(());
        }
        self.measure()
    }

    fn measure(self) -> anyhow::Result<()> {
        let missing: Vec<&str> = BESIDE
            .iter()
            .filter(|(_, program)| process::find(program).is_none())
            .map(|(package, _)| *package)
            .collect();
        if !missing.is_empty() && !self.args.iter().any(|arg| arg == "--help") {
            debian::install(&missing)?;
        }
        process::run(process::cargo().args([
            "build",
            "--release",
            "--locked",
            "-p",
            "dhow",
            "-p",
            "dhow-bench",
        ]))?;
        let mut bench = process::cargo();
        bench.args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "dhow-bench",
            "--",
            "--dhow",
            "target/release/dhow",
        ]);
        process::run(bench.args(self.args))
    }
}

/// Rollouts beside the bare commands, and requests under load, 20 each. What they measure is printed.
fn measure_docker(engines: &Path) -> anyhow::Result<()> {
    let mut cargo = process::cargo();
    cargo.env("DHOW_ENGINES", engines).env("DHOW_REQUIRE_ENGINES", "1").env("PATH", process::search_path());
    // One after another, and as many as somebody asked for.
    cargo
        .env("RUST_TEST_THREADS", "1")
        .env("DHOW_ROUNDS", std::env::var_os("DHOW_ROUNDS").unwrap_or("20".into()));
    let tests = ["test", "--locked", "--workspace", "--test", "it", "--"];
    let named = [
        "--include-ignored",
        "--nocapture",
        "deploys_through",
        "with_recreate",
        "the_same_load",
        "deploy_alone",
        "compose_alone",
    ];
    process::run(cargo.args(tests).args(named))
}
