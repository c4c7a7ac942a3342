//! `dhow ps`: what runs, and what it uses.

use std::process::ExitCode;

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::{Place, Process};
use dhow_web::shape::{ProcessStatus, Processes, RoomProblem};
use jiff::Timestamp;

use crate::client::Connection;
use crate::terminal::{Output, one_line, print, print_json, table};

/// List the containers of a service, of an environment, or of all
///
/// Exits 1 where a server did not answer; what the others run is shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Of this service only
    service: Option<ServiceName>,
    /// Of this environment only
    environment: Option<EnvironmentName>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints a line a container. Changes nothing.
///
/// # Errors
/// There is no such deployment, or the API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = Vec::new();
    query.extend(args.service.iter().map(|s| ("service", s.to_string())));
    query.extend(args.environment.iter().map(|e| ("environment", e.to_string())));
    let found: Processes = args.connection.client()?.get(&["processes"], &query).await?;
    match args.output {
        Output::Json => print_json(&found)?,
        Output::Text => {
            print(&text(&found.processes, Timestamp::now()))?;
            found.problems.iter().for_each(told);
        }
    }
    Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says on stderr that a place could not be asked.
pub(super) fn told(problem: &RoomProblem) {
    let RoomProblem { deployment, place, message } = problem;
    anstream::eprintln!("error: {deployment} on {}: {}", name(place), one_line(message));
}

/// A place, for people.
pub(super) fn name(place: &Place) -> &str {
    match place {
        Place::Local => "this machine",
        Place::Server(server) => server.as_str(),
    }
}

fn text(processes: &[ProcessStatus], now: Timestamp) -> String {
    let heads = [
        "SERVICE",
        "ENVIRONMENT",
        "TYPE",
        "SERVER",
        "CONTAINER",
        "STATE",
        "SINCE",
        "RESTARTS",
        "MEMORY",
        "CPU",
        "IMAGE",
    ];
    let mut shown = table(&heads);
    for one in processes {
        let process = &one.process;
        let server = match &one.place {
            Place::Local => "-",
            Place::Server(server) => server.as_str(),
        };
        shown.add_row([
            one.service.to_string(),
            one.environment.to_string(),
            one.target.to_string(),
            server.to_owned(),
            one_line(&process.name),
            one_line(&state(process)),
            process.since.as_deref().map_or_else(|| "-".into(), |at| ago(at, now)),
            process.restarts.to_string(),
            process.memory.map_or_else(|| "-".into(), |used| memory(used, process.memory_limit)),
            process.cpu.map_or_else(|| "-".into(), |percent| format!("{percent:.1} %")),
            one_line(&image(process)),
        ]);
    }
    format!("{shown}\n")
}

fn state(process: &Process) -> String {
    match (&process.health, process.exit_code) {
        (Some(health), _) => format!("{} ({health})", process.state),
        (None, Some(code)) => format!("{} ({code})", process.state),
        (None, None) => process.state.clone(),
    }
}

fn memory(used: u64, limit: Option<u64>) -> String {
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    match limit {
        Some(limit) => format!("{}/{} MiB", mib(used), mib(limit)),
        None => format!("{} MiB", mib(used)),
    }
}

/// The image without its long digest, and the digest that runs, shortened.
fn image(process: &Process) -> String {
    let name = process.image.split('@').next().unwrap_or_default();
    match &process.digest {
        Some(digest) => format!("{name}@{}", digest.short()),
        None => name.to_owned(),
    }
}

fn ago(at: &str, now: Timestamp) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return one_line(at) };
    match now.as_second().saturating_sub(at.as_second()).max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_a_line_with_what_it_uses_and_what_ended_says_how() {
        let one = |more: serde_json::Value| {
            let mut one = serde_json::json!({
                "service": "shop", "type": "compose", "environment": "stage", "place": {"server": "web1"},
                "id": "0123456789ab", "name": "stage_shop-web-1", "component": "web", "restarts": 2,
                "image": format!("ghcr.io/acme/web:v1@sha256:{}", "a".repeat(64)),
                "digest": format!("sha256:{}", "a".repeat(64)), "since": "2026-11-21T10:00:00Z",
            });
            one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<ProcessStatus>(one).unwrap()
        };
        let now = "2026-11-21T10:03:00Z".parse().unwrap();
        let running = one(serde_json::json!({
            "state": "running", "health": "healthy", "memory": 2_621_440, "memory_limit": 67_108_864, "cpu": 12.5
        }));
        let shown = text(&[running], now);
        for word in ["web1", "running (healthy)", "3 min", "2.5/64.0 MiB", "12.5 %", "ghcr.io/acme/web:v1@"] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        assert!(!shown.contains(&"a".repeat(64)), "{shown}");
        let ended = one(serde_json::json!({"state": "exited", "exit_code": 137}));
        assert!(text(&[ended], now).contains("exited (137)"));
    }
}
