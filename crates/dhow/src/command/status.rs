//! `dhow status`: what should run, what runs, and what it waits for.

use std::fmt::Write as _;
use std::process::ExitCode;

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::Place;
use dhow_core::report::DebtStatus;
use dhow_core::rollout::{Health, Progress};
use dhow_web::shape::{ArtifactStatus, DeploymentStatus, Status};

use crate::client::Connection;
use crate::terminal::{Output, lines, one_line, print, print_json, table};

/// Print what should run, what runs, and what it waits for
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Of this service only
    service: Option<ServiceName>,
    /// In this environment only
    environment: Option<EnvironmentName>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the status: data on stdout, what people should do on stderr.
///
/// # Errors
/// The API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query: Vec<_> = args.service.iter().map(|s| ("service", s.to_string())).collect();
    query.extend(args.environment.iter().map(|e| ("environment", e.to_string())));
    let status: Status = args.connection.client()?.get(&["status"], &query).await?;
    if args.output == Output::Json {
        print_json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    if status.deployments.is_empty() {
        eprintln!("no deployments");
    } else {
        print(&text(&status))?;
    }
    eprint!("{}", advice(&status));
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let mut rows = table(&[
        "SERVICE",
        "TYPE",
        "ENVIRONMENT",
        "PHASE",
        "HEALTH",
        "DESIRED",
        "RUNNING",
        "SINCE",
        "WAITING FOR",
    ]);
    for row in &status.deployments {
        rows.add_row([
            row.service.to_string(),
            row.target.to_string(),
            row.environment.to_string(),
            row.phase.clone(),
            health(row.health).to_owned(),
            versions(&row.desired),
            versions(&row.running),
            row.since.clone(),
            one_line(row.waiting_for.as_deref().unwrap_or("-")),
        ]);
    }
    format!("{rows}\n")
}

/// What a person should know beside the table.
fn advice(status: &Status) -> String {
    let mut text = String::new();
    for row in &status.deployments {
        if let Some(trouble) = trouble(row) {
            let _ = writeln!(text, "\n{}/{}/{}: {trouble}", row.service, row.target, row.environment);
        }
        row.places.iter().for_each(|at| {
            let runs = match at.progress {
                Progress::Between => "is being switched, or was when it was last heard of".to_owned(),
                Progress::Old | Progress::New if at.running.is_empty() => "runs nothing".to_owned(),
                Progress::Old | Progress::New => format!("runs {}", versions(&at.running)),
            };
            let _ = writeln!(text, "  {}: {runs}", at.place);
        });
        row.debts.iter().for_each(|debt| {
            let _ = writeln!(text, "{}", owed(row, debt));
        });
    }
    for hold in &status.holds {
        let _ = writeln!(text, "\n{}/{} is held: {}", hold.service, hold.environment, one_line(&hold.reason));
    }
    for p in &status.proposals {
        let id = one_line(&p.id);
        let (service, environment) = (&p.service, &p.environment);
        let _ = writeln!(
            text,
            "\n{service}/{environment} waits for approval ({} of {}): dhow approve {service} {environment} --id {id}",
            p.counted.len(),
            p.needed
        );
        p.summary.iter().for_each(|line| {
            let _ = writeln!(text, "  {}", one_line(line));
        });
    }
    if let Some(head) = &status.fleet_head {
        let _ = writeln!(text, "\nthe fleet's commit {} is being compared", head.short());
    }
    for problem in &status.problems {
        let _ = writeln!(text, "\nproblem: {}", lines(problem).replace('\n', "\n  "));
    }
    text
}

/// What a place owes, since when and why, and what it still runs.
fn owed(row: &DeploymentStatus, debt: &DebtStatus) -> String {
    let what = match debt.owes.as_str() {
        "undo" => "is to be taken back",
        "release" => "is to be brought to what runs elsewhere",
        _ => "is to be cleared",
    };
    let runs = match debt.runs.is_empty() {
        true => String::new(),
        false => format!(", it still runs {}", versions(&debt.runs)),
    };
    let forget = match &debt.place {
        Place::Local => String::new(),
        Place::Server(name) => format!("; dhow server forget {name} writes it off"),
    };
    format!(
        "\n{}/{}/{}: {} {what}{runs}, since {}: {}{forget}",
        row.service,
        row.target,
        row.environment,
        debt.place,
        debt.since,
        one_line(&debt.error)
    )
}

/// Why a deployment is not healthy, with the failing check's last answers.
pub(super) fn trouble(row: &DeploymentStatus) -> Option<String> {
    let mut text = one_line(row.reason.as_deref()?);
    if let Some(failure) = &row.failure {
        let _ = write!(text, "\n  check {}", one_line(&failure.check));
        for answer in &failure.answers {
            let _ = write!(text, "\n    {}", one_line(answer));
        }
    }
    Some(text)
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Missing => "missing",
        Health::Unknown => "unknown",
    }
}

/// `web v2, api 1.0`; a short digest where there is no tag.
fn versions(artifacts: &[ArtifactStatus]) -> String {
    let version = |a: &ArtifactStatus| a.tag.as_ref().map_or_else(|| a.digest.short(), ToString::to_string);
    let all: Vec<_> = artifacts.iter().map(|a| format!("{} {}", a.artifact, version(a))).collect();
    if all.is_empty() { "-".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let digest = format!("sha256:{}", "a".repeat(64));
        serde_json::from_value(serde_json::json!({
            "fleet_commit": null,
            "deployments": [{
                "service": "shop", "type": "static_file", "environment": "stage", "phase": "rolled_back",
                "health": "healthy", "desired": [{"artifact": "web", "tag": "v2", "digest": digest}],
                "running": [{"artifact": "web", "tag": null, "digest": digest}], "fleet_commit": null,
                "since": "2026-11-21T15:00:00.000Z", "waiting_for": null, "reason": "a check\u{1b}[2J failed",
                "failure": {"check": "http /", "answers": ["500", "502"]},
                "debts": [{"place": {"server": "web2"}, "owes": "undo", "runs": [{"artifact": "web", "tag": "v2", "digest": digest}],
                    "since": "2026-11-21T15:00:00.000Z", "error": "no route"}],
            }],
            "proposals": [{
                "id": "p1", "service": "shop", "environment": "production", "summary": ["web v1 -> v2"],
                "needed": 2, "counted": ["bob"], "authors": [],
            }],
            "problems": ["services/x/dhow.yaml:1:1: unknown key"],
        }))
        .unwrap()
    }

    #[test]
    fn a_deployment_is_one_line_with_what_should_run_and_what_runs() {
        let text = text(&status());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        for word in ["shop", "static_file", "stage", "rolled_back", "healthy", "web v2", "web aaaaaaaaaaaa"] {
            assert!(lines[1].contains(word), "{word} is not in {text}");
        }
    }

    #[test]
    fn the_reason_its_answers_and_the_next_command_are_told_without_control_characters() {
        let text = advice(&status());
        assert!(
            text.contains("shop/static_file/stage: a check [2J failed\n  check http /\n    500\n    502"),
            "{text}"
        );
        assert!(text.contains("(1 of 2): dhow approve shop production --id p1\n  web v1 -> v2"), "{text}");
        assert!(
            text.contains(
                "web2 is to be taken back, it still runs web v2, since 2026-11-21T15:00:00.000Z: no route; \
                 dhow server forget web2 writes it off"
            ),
            "{text}"
        );
        assert!(text.contains("problem: services/x/dhow.yaml:1:1"), "{text}");
    }
}
