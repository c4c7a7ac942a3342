//! `dhow server check`: all that a server lacks, in one go.

use std::fmt::Write as _;
use std::process::ExitCode;

use dhow_core::noun::ServerName;
use dhow_docker::executor::Places;
use dhow_docker::inspect::{self, Finding, Standing};
use serde::Serialize;

use super::servers::{FleetArgs, ReachArgs, known};
use crate::terminal::{Output, one_line, print, print_json};

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

#[derive(Serialize)]
struct Report {
    server: String,
    ok: bool,
    findings: Vec<Finding>,
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
        vec![report("this machine".into(), inspect::local(&places.local()).await)]
    } else {
        futures::future::join_all(names.iter().map(|name| look(&places, name))).await
    };
    let ok = reports.iter().all(|report| report.ok);
    match args.output {
        Output::Json => print_json(&serde_json::json!({ "servers": reports }))?,
        Output::Text => print(&reports.iter().map(text).collect::<String>())?,
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(places: &Places, name: &ServerName) -> Report {
    let findings = match places.server(name) {
        Ok(executor) => inspect::server(&executor).await,
        Err(error) => {
            vec![Finding { check: "ssh", standing: Standing::Failed, message: error.to_string() }]
        }
    };
    report(name.to_string(), findings)
}

fn report(server: String, findings: Vec<Finding>) -> Report {
    let ok = findings.iter().all(|finding| finding.standing != Standing::Failed);
    Report { server, ok, findings }
}

fn text(report: &Report) -> String {
    let mut text = format!("{}\n", report.server);
    for Finding { check, standing, message } in &report.findings {
        let mark = match standing {
            Standing::Ok => "ok",
            Standing::Warning => "warning",
            Standing::Failed => "FAILED",
        };
        let _ = writeln!(text, "  {mark:<8} {check:<8} {}", one_line(message));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_failed_on_a_line_each() {
        let finding = |check, standing, message: &str| Finding { check, standing, message: message.into() };
        let report = report(
            "web1".into(),
            vec![finding("ssh", Standing::Ok, "fine"), finding("tools", Standing::Failed, "it lacks\nflock")],
        );
        assert!(!report.ok);
        assert_eq!(text(&report), "web1\n  ok       ssh      fine\n  FAILED   tools    it lacks flock\n");
    }
}
