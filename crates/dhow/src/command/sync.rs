//! `dhow sync`: rolls out what differs at first sight.

use std::process::ExitCode;

use super::ask::Ask;

/// Roll out what waits for a person's word at first sight
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
