//! `cargo xtask bench`: figures against their goals.

use clap::Args;

use crate::{debian, process};

/// Measure a release build against its goals; what stands beside it is installed from Debian
#[derive(Args)]
pub struct Bench {
    /// Arguments for the benchmark: names, `--output json`, `--write FILE`, `--quick`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// What is measured beside Dhow, and by what: each package's program.
const BESIDE: [(&str, &str); 3] =
    [("docker-registry", "docker-registry"), ("nginx-light", "nginx"), ("wrk", "wrk")];

impl Bench {
    pub fn run(self) -> anyhow::Result<()> {
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
