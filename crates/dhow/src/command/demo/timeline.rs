//! What happened to each version, with the times that were measured: read from the event log.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use dhow_core::noun::{Digest, EnvironmentName};
use dhow_core::port::EventQuery;
use dhow_core::report::rfc3339;
use dhow_core::rollout::{Event, State};
use dhow_engine::Engine;
use serde::Serialize;

/// The demo's JSON (design section 9).
#[derive(Debug, Default, Serialize)]
pub struct Report {
    versions: Vec<VersionReport>,
    /// Requests that visitors made.
    pub requests: u64,
    /// Those that were not answered with the right page.
    pub failed_requests: u64,
    /// Why some could not be answered; none: all had to be.
    #[serde(skip)]
    pub excuse: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct VersionReport {
    version: String,
    digest: Digest,
    environments: BTreeMap<String, Steps>,
    #[serde(skip)]
    published_ms: i64,
}

/// When each step happened, RFC 3339; steps that did not happen are absent.
#[derive(Debug, Default, Clone, Serialize)]
struct Steps(BTreeMap<&'static str, String>);

/// The steps in the order of the voyage.
const ORDER: [&str; 9] = [
    "published",
    "selected",
    "committed",
    "prepared",
    "checked",
    "switched",
    "verified",
    "failed",
    "rolled_back",
];

impl Report {
    /// Notes that a version was published just now.
    pub fn published(&mut self, version: &str, digest: Digest) {
        self.versions.push(VersionReport {
            version: version.to_owned(),
            digest,
            environments: BTreeMap::new(),
            published_ms: jiff::Timestamp::now().as_millisecond(),
        });
    }

    /// Reads from the log what happened to a version in an environment; the answer is a line for people.
    pub async fn read(
        &mut self,
        engine: &Engine,
        version: &str,
        environment: &EnvironmentName,
    ) -> Result<String> {
        let Some(report) = self.versions.iter_mut().find(|v| v.version == version) else {
            return Ok(String::new());
        };
        let query = EventQuery { limit: 10_000, ..EventQuery::default() };
        let times = times(engine, query, report, environment).await?;
        let steps = times.iter().map(|(step, at)| (*step, rfc3339(*at))).collect();
        report.environments.insert(environment.to_string(), Steps(steps));
        let mut line = String::new();
        for step in ORDER {
            if let Some(at) = times.get(step) {
                let _ = write!(line, "{step} +{} ms  ", at - report.published_ms.min(*at));
            }
        }
        Ok(line.trim_end().to_owned())
    }

    /// What the demo proved, for people.
    pub fn summary(&self) -> String {
        let mut text = String::from("\nWhat this showed, each checked:\n");
        let _ = writeln!(
            text,
            "  1.0.0 and 2.0.0 reached stage by themselves, and production, the same digest, after a second person said yes"
        );
        let _ = writeln!(
            text,
            "  3.0.0 failed its check on stage: nobody saw it, it is quarantined, and Git says 2.0.0 again"
        );
        let _ = write!(text, "  {} requests meanwhile, {} failed", self.requests, self.failed_requests);
        if let Some(excuse) = self.excuse.filter(|_| self.failed_requests > 0) {
            let _ = write!(text, ": {excuse}");
        }
        text
    }
}

async fn times(
    engine: &Engine,
    query: EventQuery,
    report: &VersionReport,
    environment: &EnvironmentName,
) -> Result<BTreeMap<&'static str, i64>> {
    let mut times = BTreeMap::from([("published", report.published_ms)]);
    let mut update = String::new();
    let mut rollout = None;
    for stored in engine.store().events(query).await? {
        let at = stored.event.at_ms;
        match Event::read(&stored)? {
            Event::UpdateSelected { service, environment: e, pins, .. }
                if e == *environment && pins.values().any(|p| p.digest == report.digest) =>
            {
                update = format!("{service}/{e}");
                times.entry("selected").or_insert(at);
            }
            Event::CommitDone { updates, .. } if updates.contains(&update) => {
                times.entry("committed").or_insert(at);
            }
            Event::RolloutQueued { deployment, rollout: number, hash, .. }
                if deployment.environment == *environment =>
            {
                let key = format!("{deployment}/{hash}");
                let release = engine.store().get(dhow_core::port::Table::Releases, &key).await?;
                let takes = release.is_some_and(|r| r.body.contains(&report.digest.to_string()));
                if takes {
                    rollout = Some(number);
                }
            }
            Event::RolloutMoved { rollout: number, to, from, .. } if Some(number) == rollout => {
                let step = match (from, to) {
                    (State::Preparing, State::Checking) => "prepared",
                    (State::Checking, State::Switching) => "checked",
                    (State::Switching, State::Verifying) => "switched",
                    (State::Verifying, State::Finishing) => "verified",
                    (_, State::RollingBack) => "failed",
                    (_, State::RolledBack) => "rolled_back",
                    _ => continue,
                };
                times.insert(step, at);
            }
            _ => {}
        }
    }
    Ok(times)
}
