//! `dhow doctor`: what this machine lacks, and the servers of the fleet.

mod here;
mod registries;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use dhow_core::fleet::Fleet;
use dhow_core::noun::ServerName;
use dhow_core::port::BranchName;

use super::findings::{Report, look};
use super::server::servers::{FleetArgs, ReachArgs, known};
use crate::terminal::{Output, print, print_json};

/// Tell what this machine lacks and, with --server or --all, servers of the fleet
///
/// Exits 1 where something fails. Run it on the host of `dhow serve`, as its user. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The fleet: a folder, a bare repository, or the URL of one; its registries are looked at too
    #[arg(long, value_name = "DIR|URL")]
    fleet: Option<String>,
    /// The branch of a repository; by default its HEAD
    #[arg(long, value_parser = |text: &str| BranchName::new(text))]
    branch: Option<BranchName>,
    /// The state directory of `dhow serve`
    #[arg(long, env = "DHOW_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// The configuration of `dhow serve`, for its `identities`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at this server of the fleet too; may be given several times
    #[arg(long = "server", value_name = "NAME", conflicts_with = "all")]
    servers: Vec<ServerName>,
    /// Look at all servers of the fleet too
    #[arg(long)]
    all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Looks at everything at once, and prints it place by place.
///
/// # Errors
/// The fleet or the configuration cannot be read, or the fleet has no such server.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let remote = args.all || !args.servers.is_empty();
    let fleet = match (&args.fleet, remote) {
        (None, false) => None,
        (fleet, _) => {
            let source = fleet.clone().unwrap_or_else(|| ".".to_owned());
            Some(FleetArgs { fleet: source, branch: args.branch.clone() }.whole().await?)
        }
    };
    let (here, there) = tokio::join!(here::report(&args, fleet.as_ref()), servers(&args, fleet.as_ref()));
    let reports: Vec<Report> = std::iter::once(here?).chain(there?).collect();
    let ok = reports.iter().all(|report| report.ok);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "ok": ok, "places": reports }))?,
        Output::Text => print(&reports.iter().map(Report::text).collect::<String>())?,
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn servers(args: &Args, fleet: Option<&Fleet>) -> anyhow::Result<Vec<Report>> {
    let Some(fleet) = fleet.filter(|_| args.all || !args.servers.is_empty()) else { return Ok(Vec::new()) };
    for name in &args.servers {
        known(name, &fleet.servers)?;
    }
    let Some(state) = args.state.clone() else {
        bail!(
            "servers are reached with the host keys in the state directory of `dhow serve`: give --state DIR"
        )
    };
    let places = ReachArgs { state, config: args.config.clone() }.places(&fleet.servers)?;
    let names: Vec<&ServerName> =
        if args.all { fleet.servers.keys().collect() } else { args.servers.iter().collect() };
    Ok(futures::future::join_all(names.into_iter().map(|name| look(&places, name))).await)
}
