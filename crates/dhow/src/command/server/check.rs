//! `dhow server check`: all that a server lacks, in one go.

use std::process::ExitCode;

use dhow_core::noun::ServerName;
use dhow_docker::inspect;

use super::servers::{FleetArgs, ReachArgs, known};
use crate::command::findings::{Report, look};
use crate::terminal::{Output, print, print_json};

/// Tell all that is missing on servers; without names, on all of them
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Names of servers in the fleet
    names: Vec<ServerName>,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    reach: ReachArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Looks at all servers at once. Exit 1 where one has what Dhow cannot work with. Changes nothing.
pub(super) async fn run(args: Check) -> anyhow::Result<ExitCode> {
    let servers = args.fleet.servers().await?;
    for name in &args.names {
        known(name, &servers)?;
    }
    let places = args.reach.places(&servers)?;
    let names = if args.names.is_empty() { servers.into_keys().collect() } else { args.names };
    let reports = if names.is_empty() {
        // A fleet without servers runs here.
        vec![Report::new("this machine".into(), inspect::local(&places.local()).await)]
    } else {
        futures::future::join_all(names.iter().map(|name| look(&places, name))).await
    };
    let ok = reports.iter().all(|report| report.ok);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "servers": reports }))?,
        Output::Text => print(&reports.iter().map(Report::text).collect::<String>())?,
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
