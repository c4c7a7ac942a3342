//! `dhow plan`: what a rollout would do now.

use std::fmt::Write as _;
use std::process::ExitCode;

use dhow_core::port::Place;
use dhow_web::shape::{DeploymentPlan, Plans};

use crate::client::{Connection, Scope};
use crate::terminal::{Output, print, print_json};

/// Print what would change, without changing anything
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the plan of each deployment. Changes nothing.
///
/// # Errors
/// There is no such deployment, it cannot be planned, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = ["plan", args.scope.service.as_str(), args.scope.environment.as_str()];
    let plans: Plans = args.connection.client()?.get(&path, &[]).await?;
    match args.output {
        Output::Json => print_json(&plans)?,
        Output::Text => print(&plans.plans.iter().map(text).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(plan: &DeploymentPlan) -> String {
    let mut text = format!("{}\n", plan.deployment);
    let mut phase = None;
    for step in &plan.steps {
        if phase.replace(step.phase) != Some(step.phase) {
            let _ = writeln!(text, "  {}", format!("{:?}", step.phase).to_lowercase());
        }
        let place = match &step.place {
            Place::Local => String::new(),
            Place::Server(server) => format!(" (on {server})"),
        };
        let _ = writeln!(text, "    {}{place}", step.summary);
    }
    if plan.steps.is_empty() {
        text.push_str("  nothing to do\n");
    }
    for note in &plan.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_under_their_phase_with_their_place() {
        let plan = serde_json::json!({
            "deployment": "shop/static_file/stage",
            "steps": [
                {"phase": "preparing", "place": "local", "summary": "unpack 3 files"},
                {"phase": "preparing", "place": {"server": "web1"}, "summary": "send 3 files"},
                {"phase": "switching", "place": {"server": "web1"}, "summary": "switch to v2"},
            ],
            "notes": ["no gap"],
        });
        let plan: DeploymentPlan = serde_json::from_value(plan).unwrap();
        let expected = "shop/static_file/stage\n  preparing\n    unpack 3 files\n    send 3 files (on web1)\n  \
                        switching\n    switch to v2 (on web1)\n  note: no gap\n";
        assert_eq!(text(&plan), expected);
        let empty = DeploymentPlan { steps: Vec::new(), notes: Vec::new(), ..plan };
        assert_eq!(text(&empty), "shop/static_file/stage\n  nothing to do\n");
    }
}
