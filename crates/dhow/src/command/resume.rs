//! `dhow resume`: ends a hold.

use std::process::ExitCode;

use super::ask::Ask;

/// End a hold, so that updates go on
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
    args.ask.act("resume").await
}
