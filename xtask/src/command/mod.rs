//! One file a command.

mod check;
mod crash;
mod engines;
mod test;

use clap::Subcommand;

/// The commands of `cargo xtask`.
#[derive(Subcommand)]
pub enum Command {
    Check(check::Check),
    Crash(crash::Crash),
    Engines(engines::Engines),
    Test(test::Test),
}

impl Command {
    /// Runs the command. An error says which step failed and what to do.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check(check) => check.run(),
            Self::Crash(crash) => crash.run(),
            Self::Engines(engines) => engines.run(),
            Self::Test(test) => test.run(),
        }
    }
}
