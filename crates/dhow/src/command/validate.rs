//! `dhow validate [DIR]`: all that is wrong in a fleet.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use dhow_core::diagnostic::{Diagnostic, Severity};
use dhow_core::fleet::{self, Fleet};
use serde::Serialize;

use crate::dir_tree::DirTree;
use crate::terminal::lines;

/// Check a fleet and print everything that is wrong in it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the fleet
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[derive(Serialize)]
struct Report<'a> {
    diagnostics: &'a [Diagnostic],
    deployments: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    service: &'a str,
    #[serde(rename = "type")]
    target: &'static str,
    environment: &'a str,
    path: &'a str,
    project: String,
}

/// Reads the fleet, prints its findings on stdout and a summary on stderr. Exit 1 where there is an error.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let tree =
        DirTree::open(&args.dir).with_context(|| format!("cannot open the fleet {}", args.dir.display()))?;
    let fleet = fleet::load(&tree);
    let text = match args.output {
        Output::Text => text(&fleet),
        Output::Json => json(&fleet)?,
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        result => result.context("cannot write to stdout")?,
    }
    let (summary, errors) = summary(&fleet);
    anstream::eprintln!("{summary}");
    if fleet.deployments.is_empty() && fleet.templates.is_empty() {
        anstream::eprintln!(
            "warning: nothing is deployed from {}: a deployment is a folder services/<service>/<type>/<environment>, or one \
             that `layout` or `deployments` in dhow.yaml names; is this the fleet?",
            args.dir.display()
        );
    }
    Ok(if errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(fleet: &Fleet) -> String {
    fleet.diagnostics.iter().map(|found| lines(&format!("{found}\n\n"))).collect()
}

fn json(fleet: &Fleet) -> anyhow::Result<String> {
    let deployments = fleet.deployments.values().chain(fleet.templates.values());
    let rows = deployments.map(|deployment| Row {
        service: deployment.id.service.as_str(),
        target: deployment.id.target.as_str(),
        environment: deployment.id.environment.as_str(),
        path: &deployment.folder,
        project: deployment.project(),
    });
    let report = Report { diagnostics: &fleet.diagnostics, deployments: rows.collect() };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

/// One line for people, and whether there are errors.
fn summary(fleet: &Fleet) -> (String, bool) {
    let count = |severity| fleet.diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let deployments = fleet.deployments.len() + fleet.templates.len();
    let many = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let parts = [many(deployments, "deployment"), many(errors, "error"), many(warnings, "warning")];
    (parts.join(", "), errors > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_core::fleet::MemoryTree;

    #[test]
    fn the_report_names_findings_and_deployments() {
        let fleet = fleet::load(&MemoryTree::new([
            ("services/a/compose/prod/a-stack.yml", "services: {}\n"),
            ("dhow.yaml", "servrs: {}\n"),
        ]));
        let report: serde_json::Value = serde_json::from_str(&json(&fleet).unwrap()).unwrap();
        assert_eq!(report["deployments"][0]["type"], "swarm");
        assert_eq!(report["deployments"][0]["environment"], "production");
        assert_eq!(report["deployments"][0]["project"], "prod_a");
        assert_eq!(report["diagnostics"][0]["line"], 1);
        assert_eq!(summary(&fleet), ("1 deployment, 1 error, 0 warnings".into(), true));
        assert!(text(&fleet).contains("did you mean \"servers\"?"));
    }
}
