//! `dhow promote`: the same build, one environment further.

use std::process::ExitCode;

use super::ask::Ask;

/// Give an environment the versions that run healthy in the one before it
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
    args.ask.act("promote").await
}
