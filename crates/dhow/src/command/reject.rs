//! `dhow reject`: says no to a proposal.

use std::process::ExitCode;

use dhow_web::shape::RejectRequest;

use crate::client::{Connection, Scope};
use crate::terminal::{Output, print_outcome};

/// Say no to what waits for approval
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// Id of the proposal, as `dhow status` shows it; needed where more than one is open
    #[arg(long)]
    id: Option<String>,
    /// Why, for those who asked
    #[arg(long)]
    reason: Option<String>,
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
    let outcome =
        client.act("reject", &args.scope, &RejectRequest { id: args.id, reason: args.reason }).await?;
    print_outcome(&outcome, args.output)?;
    Ok(ExitCode::SUCCESS)
}
