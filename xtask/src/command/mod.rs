//! One file a command.

mod bench;
mod check;
mod crash;
mod engines;
mod fuzz;
mod test;

use clap::Subcommand;

/// The commands of `cargo xtask`.
#[derive(Subcommand)]
pub enum Command {
    Bench(bench::Bench),
    Check(check::Check),
    Crash(crash::Crash),
    Engines(engines::Engines),
    Fuzz(fuzz::Fuzz),
    Test(test::Test),
}

impl Command {
    /// Runs the command. An error says which step failed and what to do.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Bench(bench) => bench.run(),
            Self::Check(check) => check.run(),
            Self::Crash(crash) => crash.run(),
            Self::Engines(engines) => engines.run(),
            Self::Fuzz(fuzz) => fuzz.run(),
            Self::Test(test) => test.run(),
        }
    }
}
