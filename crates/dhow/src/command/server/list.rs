//! `dhow server list`: what the fleet says.

use std::process::ExitCode;

use dhow_core::fleet::Jump;
use serde::Serialize;

use super::servers::FleetArgs;
use crate::terminal::{Output, print, print_json, table};

/// List the servers of the fleet
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    fleet: FleetArgs,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
struct Row {
    server: String,
    ssh: String,
    jump: Option<String>,
    identity: Option<String>,
    fingerprint: Option<String>,
    environments: Vec<String>,
    labels: std::collections::BTreeMap<String, String>,
}

pub(super) async fn run(args: List) -> anyhow::Result<ExitCode> {
    let servers = args.fleet.servers().await?;
    let rows: Vec<Row> = servers
        .into_iter()
        .map(|(name, server)| Row {
            server: name.to_string(),
            ssh: server.ssh,
            jump: server.jump.map(|jump| match jump {
                Jump::Server(name) => name.to_string(),
                Jump::Address(address) => address,
            }),
            identity: server.identity,
            fingerprint: server.fingerprint,
            environments: server.environments.iter().map(ToString::to_string).collect(),
            labels: server.labels,
        })
        .collect();
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "servers": rows }))?,
        Output::Text => {
            let mut shown = table(&["SERVER", "SSH", "JUMP", "IDENTITY", "ENVIRONMENTS", "LABELS"]);
            for row in rows {
                let labels: Vec<String> =
                    row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
                shown.add_row([
                    row.server,
                    row.ssh,
                    or_none(row.jump),
                    or_none(row.identity),
                    row.environments.join(","),
                    labels.join(","),
                ]);
            }
            print(&format!("{shown}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
