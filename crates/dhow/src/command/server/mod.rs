//! `dhow server`: the servers of a fleet.

mod add;
mod check;
mod forget;
mod list;
pub(super) mod servers;

use std::process::ExitCode;

use clap::Subcommand;

/// Trust, list, check and forget the servers of a fleet
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(add::Add),
    List(list::List),
    Check(check::Check),
    Forget(forget::Forget),
}

/// Runs on the host of `dhow serve`, where the keys are; `forget` asks the API.
///
/// # Errors
/// The fleet cannot be read, or a server is not as it should be.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Add(args) => add::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Forget(args) => forget::run(args).await,
    }
}
