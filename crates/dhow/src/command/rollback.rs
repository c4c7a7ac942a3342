//! `dhow rollback`: goes back to an earlier release.

use std::process::ExitCode;

use dhow_web::shape::RollbackRequest;

use crate::client::{Connection, Scope};
use crate::terminal::{Output, print_outcome};

/// Go back to an earlier release
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// Tag, digest, or start of a release's hash; without it, the release before the present one; asked again, that is no further rollback
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
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
    let outcome = client.act("rollback", &args.scope, &RollbackRequest { to: args.to }).await?;
    print_outcome(&outcome, args.output)?;
    Ok(ExitCode::SUCCESS)
}
