//! `dhow sync`: a person's word for what differs from the fleet.

use std::process::ExitCode;

use super::ask::Ask;

/// Read the fleet now, and roll out what differs from it; confirms removals that wait
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ask: Ask,
}

/// Asks for it and prints what came of it. Repeatable.
///
/// # Errors
/// It is refused, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.ask.act("sync").await
}
