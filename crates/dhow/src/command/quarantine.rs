//! `dhow quarantine`: versions that nobody should run.

use std::process::ExitCode;

use clap::Subcommand;
use dhow_core::noun::{ImageReference, ServiceName};
use dhow_web::shape::{QuarantineList, QuarantineRequest};

use crate::client::{Connection, Scope};
use crate::terminal::{Output, one_line, print, print_json, print_outcome, table};

/// Show and change which versions are not to be selected
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the versions in quarantine
    List(List),
    /// Put a version into quarantine
    Add(Add),
    /// Take a version out of quarantine
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
    /// Of this service only
    service: Option<ServiceName>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// The version, as in ghcr.io/acme/web:v3 or ghcr.io/acme/web@sha256:...
    reference: ImageReference,
    /// Why nobody should run it
    #[arg(long)]
    reason: String,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// The version, as `dhow quarantine list` shows it
    reference: ImageReference,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Lists, adds or removes. Repeatable.
///
/// # Errors
/// It is refused, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(args) => list(args).await?,
        Command::Add(args) => add(args).await?,
        Command::Remove(args) => remove(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List) -> anyhow::Result<()> {
    let query: Vec<_> = args.service.iter().map(|s| ("service", s.to_string())).collect();
    let list: QuarantineList = args.connection.client()?.get(&["quarantine"], &query).await?;
    if args.output == Output::Json {
        return print_json(&list);
    }
    if list.quarantined.is_empty() {
        eprintln!("nothing is in quarantine");
        return Ok(());
    }
    let mut rows = table(&["SERVICE", "ENVIRONMENT", "VERSION", "SINCE", "BY", "REASON"]);
    for entry in list.quarantined {
        let by = entry.by.map_or_else(|| "dhow".to_owned(), |p| p.to_string());
        let reference = entry.reference.to_string();
        let (service, environment) = (entry.service.to_string(), entry.environment.to_string());
        rows.add_row([service, environment, reference, entry.at, by, one_line(&entry.reason)]);
    }
    print(&format!("{rows}\n"))
}

async fn add(args: Add) -> anyhow::Result<()> {
    let Scope { service, environment } = args.scope;
    let body = QuarantineRequest { service, environment, reference: args.reference, reason: args.reason };
    let outcome = args.connection.client()?.post(&["quarantine"], &body).await?;
    print_outcome(&outcome, args.output)
}

async fn remove(args: Remove) -> anyhow::Result<()> {
    let query = [
        ("service", args.scope.service.to_string()),
        ("environment", args.scope.environment.to_string()),
        ("reference", args.reference.to_string()),
    ];
    let outcome = args.connection.client()?.delete(&["quarantine"], &query).await?;
    print_outcome(&outcome, args.output)
}
