//! What developers and CI run: `cargo xtask <command>`.

mod cache;
mod command;
mod debian;
mod engines;
mod process;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Command;

/// What developers and CI run.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
