//! `dhow resume`: ends a hold.

use std::process::ExitCode;

use serde_json::json;

use crate::client::{Connection, Scope};
use crate::terminal::{Output, print_outcome};

/// End a hold, so that updates go on
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Asks for it and prints what came of it. Repeatable.
///
/// # Errors
/// It is refused, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.client()?;
    let outcome = client.act("resume", &args.scope, &json!({})).await?;
    print_outcome(&outcome, args.output)?;
    Ok(ExitCode::SUCCESS)
}
