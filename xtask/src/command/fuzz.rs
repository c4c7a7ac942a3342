//! `cargo xtask fuzz`: any input, for as long as is wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::process;

/// Try any input at an entrance of Dhow: with libFuzzer, guided by coverage, where it can be built; else a random stream
#[derive(Args)]
pub struct Fuzz {
    /// The target: a folder of fuzz/seeds
    target: String,
    /// How long, the build aside
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The random stream, also where libFuzzer can be built
    #[arg(long)]
    stream: bool,
    /// The number of the stream
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What libFuzzer needs of the compiler; all of it is in the stable one. Without a sanitizer: there is no `unsafe` here.
const FLAGS: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

impl Fuzz {
    pub fn run(self) -> anyhow::Result<()> {
        let seeds = process::root().join("fuzz/seeds").join(&self.target);
        anyhow::ensure!(seeds.is_dir(), "there is no target {:?}; they are: {}", self.target, names()?);
        if !self.stream {
            match self.build() {
                Ok(program) => {
                    println!("{}: libFuzzer, guided by coverage", self.target);
                    return self.guided(&program, &seeds);
                }
                Err(error) => println!("{}: libFuzzer cannot be built here: {error:#}", self.target),
            }
        }
        println!("{}: the random stream {}, without coverage", self.target, self.seed);
        let (seconds, seed) = (self.seconds.to_string(), self.seed.to_string());
        let mut cargo = process::cargo();
        cargo.args(["run", "--quiet", "--release", "--locked", "--package", "dhow-fuzz", "--"]);
        process::run(cargo.args([self.target.as_str(), "--seconds", &seconds, "--seed", &seed]))
    }

    /// Builds the target's program, and says where it is.
    fn build(&self) -> anyhow::Result<PathBuf> {
        let machine = machine()?;
        let folder = process::root().join("target/fuzz");
        let mut cargo = process::cargo();
        cargo.args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
        cargo.args(["--target", &machine, "--bin", &self.target]).arg("--target-dir").arg(&folder);
        process::run(cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")))?;
        Ok(folder.join(machine).join("release").join(&self.target))
    }

    /// What is found goes into a folder of its own; the seeds are only read.
    fn guided(&self, program: &Path, seeds: &Path) -> anyhow::Result<()> {
        let kept = process::root().join("target/fuzz/corpus").join(&self.target);
        let broken = process::root().join("target/fuzz/broken").join(&self.target);
        for folder in [&kept, &broken] {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let mut fuzzer = Command::new(program);
        fuzzer.arg(format!("-max_total_time={}", self.seconds)).args(LIMITS);
        fuzzer.arg(format!("-artifact_prefix={}/", broken.display())).arg(&kept).arg(seeds);
        process::run(&mut fuzzer).with_context(|| {
            format!(
                "an input broke a promise of {}: it lies in {}; once mended, copy it to {}",
                self.target,
                broken.display(),
                seeds.display()
            )
        })
    }
}

/// An input of 10 s hangs; 2 GiB are a leak.
const LIMITS: [&str; 4] = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"];

/// The compiler's own machine, such as `x86_64-unknown-linux-gnu`: with it named, the flags reach no build script.
fn machine() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(process::root()).output();
    let said = String::from_utf8(output.context("cannot start `rustc -vV`")?.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

fn names() -> anyhow::Result<String> {
    let folder = process::root().join("fuzz/seeds");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_not_there_is_told_with_those_that_are() {
        let fuzz = Fuzz { target: "nonsense".into(), seconds: 1, stream: true, seed: 1 };
        let error = fuzz.run().unwrap_err().to_string();
        assert!(error.contains("nonsense") && error.contains("edits") && error.contains("sites"), "{error}");
    }
}
