//! `dhow server forget`: a server does not come back. What it owes is written off.

use std::process::ExitCode;

use dhow_core::noun::ServerName;

use crate::client::Connection;
use crate::terminal::{Output, print_outcome};

/// Write off what a server owes: nothing more is done there for it
#[derive(Debug, clap::Args)]
pub(super) struct Forget {
    #[command(flatten)]
    connection: Connection,
    /// Name of the server, as `dhow status` shows it
    name: ServerName,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Asks the API. Repeatable: what is written off already is told.
pub(super) async fn run(args: Forget) -> anyhow::Result<ExitCode> {
    let query = [("server", args.name.to_string())];
    let outcome = args.connection.client()?.delete(&["debts"], &query).await?;
    print_outcome(&outcome, args.output)?;
    Ok(ExitCode::SUCCESS)
}
