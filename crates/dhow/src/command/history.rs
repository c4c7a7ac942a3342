//! `dhow history`: what happened.

use std::process::ExitCode;

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_web::shape::{History, HistoryEntry};
use serde_json::Value;

use crate::client::Connection;
use crate::terminal::{Output, print, print_json};

/// Print what happened, oldest first
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Of this service only
    service: Option<ServiceName>,
    /// Of this environment only
    environment: Option<EnvironmentName>,
    /// How many of the newest
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Prints the newest events, one a line, the newest last.
///
/// # Errors
/// The API does not answer.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = vec![("newest_first", "true".to_owned()), ("limit", args.limit.to_string())];
    query.extend(args.service.iter().map(|s| ("service", s.to_string())));
    query.extend(args.environment.iter().map(|e| ("environment", e.to_string())));
    let mut history: History = args.connection.client()?.get(&["history"], &query).await?;
    history.events.reverse();
    match args.output {
        Output::Json => print_json(&history)?,
        Output::Text => print(&history.events.iter().map(line).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `2026-11-21T15:00:00.000Z     12 rollout_moved  deployment=shop/static_file/stage from=queued to=preparing`
fn line(entry: &HistoryEntry) -> String {
    let body = serde_json::to_value(&entry.event).unwrap_or_default();
    let kind = body["kind"].as_str().unwrap_or_default();
    let fields = body.as_object().into_iter().flatten().filter(|(k, v)| *k != "kind" && !v.is_null());
    let fields: Vec<_> = fields.map(|(key, value)| format!("{key}={}", word(value))).collect();
    format!("{} {:>6} {kind:<16} {}\n", entry.at, entry.seq, fields.join(" "))
}

/// A value as one word where it is one; quoted otherwise, so that a line stays a line.
fn word(value: &Value) -> String {
    let plain =
        |s: &&str| !s.is_empty() && s.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"');
    value.as_str().filter(plain).map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use dhow_core::rollout::Event;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_its_reason_holds() {
        let deployment = "shop/static_file/stage".parse().unwrap();
        let event = Event::Stalled { deployment, reason: "a\nb \u{1b}[31m".into() };
        let entry = HistoryEntry { seq: 7, at: "2026-11-21T15:00:00.000Z".into(), event };
        let expected = "2026-11-21T15:00:00.000Z      7 stalled          \
                        deployment=shop/static_file/stage reason=\"a\\nb \\u001b[31m\"\n";
        assert_eq!(line(&entry), expected);
    }
}
