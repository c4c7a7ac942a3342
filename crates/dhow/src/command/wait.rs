//! `dhow wait`: returns when a service is healthy in an environment, or when it will not be.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dhow_core::noun::Tag;
use dhow_core::rollout::Health;
use dhow_web::shape::{DeploymentStatus, QuarantineList, Status};
use reqwest::Response;
use tokio::time::{Instant, sleep, sleep_until};

use super::status::trouble;
use crate::client::{Client, Connection, Scope};
use crate::terminal::one_line;

/// Least time between two looks, however much happens.
const PACE: Duration = Duration::from_millis(100);
/// Longest time between two looks, in case an event is missed.
const POLL: Duration = Duration::from_secs(2);
/// Within this time a deployment is compared with a new commit, or it is told that it cannot be.
const COMPARED: Duration = Duration::from_secs(15);

/// Wait until a service is healthy in an environment at what the fleet says
///
/// Exits 1 where it fails, stalls, is rolled back or rejected, and where the time is up.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    scope: Scope,
    /// Wait until this version runs, not only whatever the fleet says now
    #[arg(long, value_name = "TAG")]
    version: Option<Tag>,
    /// How long to wait at most, as in 90s, 5m or 1h
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let parsed: jiff::SignedDuration = text.parse().context("expected a time as in 90s, 5m or 1h")?;
    let time = Duration::try_from(parsed).context("a time cannot be negative")?;
    ensure!(time <= Duration::from_secs(7 * 24 * 3600), "at most 7 days");
    Ok(time)
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It runs and is healthy.
    Done,
    /// It may still come: what it waits for.
    Pending(String),
    /// It will not come by itself: why.
    Failed(String),
}

/// Waits, with progress on stderr.
///
/// # Errors
/// The API does not answer, or stops answering and the time is up.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.client()?;
    let (service, environment) = (&args.scope.service, &args.scope.environment);
    let deadline = Instant::now() + args.timeout;
    let mut watch = Watch { wanted: args.version.clone(), seen: false, compared: None };
    let mut events = client.follow(&args.scope).await.ok();
    let mut told = String::new();
    loop {
        match look(&client, &args.scope, &mut watch).await? {
            Verdict::Done => {
                eprintln!("{service}/{environment} is healthy");
                return Ok(ExitCode::SUCCESS);
            }
            Verdict::Failed(why) => {
                eprintln!("error: {why}");
                return Ok(ExitCode::FAILURE);
            }
            Verdict::Pending(what) if Instant::now() >= deadline => {
                let waited = args.timeout.as_secs();
                eprintln!("error: {service}/{environment} is not healthy after {waited} s: {what}");
                return Ok(ExitCode::FAILURE);
            }
            Verdict::Pending(what) if what != told => {
                eprintln!("{what}");
                told = what;
            }
            Verdict::Pending(_) => {}
        }
        tokio::select! {
            () = nudge(&mut events) => {}
            () = sleep_until(deadline) => {}
        }
    }
}

/// Returns when something happened, or after a while. Any bytes on the stream are a reason to look again.
async fn nudge(events: &mut Option<Response>) {
    sleep(PACE).await;
    let Some(stream) = events else { return sleep(POLL).await };
    tokio::select! {
        chunk = stream.chunk() => if !matches!(chunk, Ok(Some(_))) { *events = None },
        () = sleep(POLL) => {}
    }
}

async fn look(client: &Client, scope: &Scope, watch: &mut Watch) -> anyhow::Result<Verdict> {
    let service = [("service", scope.service.to_string())];
    let query = [("service", scope.service.to_string()), ("environment", scope.environment.to_string())];
    let status: Status = client.get(&["status"], &query).await?;
    let verdict = watch.judge(scope, &status);
    let (Verdict::Pending(_), Some(tag), false) = (&verdict, &watch.wanted, watch.seen) else {
        return Ok(verdict);
    };
    let list: QuarantineList = client.get(&["quarantine"], &service).await?;
    let meant = status.deployments.first().map_or(&scope.environment, |d| &d.environment);
    let here = list.quarantined.into_iter().filter(|q| q.service == scope.service);
    let mut here = here.filter(|q| q.environment == *meant && q.reference.tag.as_ref() == Some(tag));
    Ok(here
        .next()
        .map_or(verdict, |q| Verdict::Failed(format!("{tag} is in quarantine: {}", one_line(&q.reason)))))
}

/// What is waited for, and whether the fleet has said so yet.
struct Watch {
    wanted: Option<Tag>,
    seen: bool,
    /// Since when nothing but the comparison of a newer commit is waited for.
    compared: Option<Instant>,
}

impl Watch {
    fn judge(&mut self, scope: &Scope, status: &Status) -> Verdict {
        // The environment may be spelled otherwise than asked for: the answer has those that were meant.
        let rows: Vec<_> = status.deployments.iter().filter(|d| d.service == scope.service).collect();
        let name = format!("{}/{}", scope.service, scope.environment);
        if rows.is_empty() && status.fleet_commit.is_none() {
            return Verdict::Pending("the fleet was not read yet".into());
        }
        if rows.is_empty() {
            return Verdict::Failed(format!(
                "the fleet has no deployment {name}; `dhow status` lists what it has"
            ));
        }
        if let Some(tag) = self.wanted.clone() {
            let says = |d: &&DeploymentStatus| d.desired.iter().any(|a| a.tag.as_ref() == Some(&tag));
            let said = rows.iter().any(says);
            if self.seen && !said {
                let why = rows
                    .iter()
                    .find_map(|d| trouble(d))
                    .unwrap_or_else(|| "the fleet says another version".into());
                return Verdict::Failed(format!("{tag} was taken back: {why}"));
            }
            if !said {
                return Verdict::Pending(
                    waiting(&rows).unwrap_or_else(|| format!("the fleet does not say {tag} yet")),
                );
            }
            self.seen = true;
        }
        rows.iter()
            .find_map(|d| failed(d))
            .or_else(|| rows.iter().find_map(|d| pending(d, self.wanted.is_none())))
            .or_else(|| self.uncompared(status))
            .unwrap_or(Verdict::Done)
    }
}

impl Watch {
    /// Without a version that tells it, what the fleet says now may be another one. Others, whose comparison takes longer,
    /// are not waited for.
    fn uncompared(&mut self, status: &Status) -> Option<Verdict> {
        let head = status.fleet_head.as_ref().filter(|_| self.wanted.is_none())?;
        if self.compared.get_or_insert_with(Instant::now).elapsed() > COMPARED {
            return None;
        }
        Some(Verdict::Pending(format!("the fleet's commit {} is being compared", head.short())))
    }
}

fn waiting(rows: &[&DeploymentStatus]) -> Option<String> {
    rows.iter().find_map(|d| d.waiting_for.as_deref()).map(one_line)
}

fn failed(row: &DeploymentStatus) -> Option<Verdict> {
    let ended = ["stalled", "rolled_back", "rejected", "cancelled"];
    if !ended.contains(&row.phase.as_str()) {
        return None;
    }
    let mut why = format!("{}/{}/{} is {}", row.service, row.target, row.environment, row.phase);
    for more in [row.waiting_for.as_deref().map(one_line), trouble(row)].into_iter().flatten() {
        why = format!("{why}: {more}");
    }
    Some(Verdict::Failed(why))
}

/// Healthy at its desired versions, by digest, or what is missing for that.
/// `newest`: what is on its way into the fleet counts too.
fn pending(row: &DeploymentStatus, newest: bool) -> Option<Verdict> {
    let runs = |wanted: &dhow_web::shape::ArtifactStatus| {
        row.running.iter().any(|r| r.artifact == wanted.artifact && r.digest == wanted.digest)
    };
    let settled = matches!(row.phase.as_str(), "succeeded" | "adopted");
    let settled = settled && (row.coming.is_empty() || !newest);
    if settled && row.health == Health::Healthy && row.desired.iter().all(runs) {
        return None;
    }
    let name = format!("{}/{}/{}", row.service, row.target, row.environment);
    let what = match &row.waiting_for {
        Some(what) => format!("waits for {}", one_line(what)),
        None if settled && row.health != Health::Healthy => "is not healthy yet".into(),
        None if settled => "does not run what the fleet says yet".into(),
        None => format!("is {}", one_line(&row.phase)),
    };
    Some(Verdict::Pending(
        trouble(row).map_or(format!("{name} {what}"), |why| format!("{name} {what}: {why}")),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(tag: &str) -> String {
        dhow_core::noun::Digest::of(tag.as_bytes()).to_string()
    }

    fn row(phase: &str, health: &str, desired: &str, running: &str) -> Value {
        let artifact = |tag: &str| json!([{"artifact": "web", "tag": tag, "digest": digest(tag)}]);
        json!({
            "service": "shop", "type": "static_file", "environment": "stage", "phase": phase, "health": health,
            "desired": artifact(desired), "running": artifact(running), "fleet_commit": null, "since": "",
            "waiting_for": null, "reason": null, "failure": null,
        })
    }

    fn status(rows: &[Value]) -> Status {
        let commit = "1".repeat(40);
        let value = json!({"fleet_commit": commit, "deployments": rows, "proposals": [], "problems": []});
        serde_json::from_value(value).unwrap()
    }

    fn judge(watch: &mut Watch, rows: &[Value]) -> Verdict {
        let scope = Scope { service: "shop".parse().unwrap(), environment: "stage".parse().unwrap() };
        watch.judge(&scope, &status(rows))
    }

    fn any() -> Watch {
        Watch { wanted: None, seen: false, compared: None }
    }

    fn version(tag: &str) -> Watch {
        Watch { wanted: Some(tag.parse().unwrap()), seen: false, compared: None }
    }

    #[test]
    fn it_is_done_when_all_deployments_run_what_the_fleet_says_and_are_healthy() {
        let good = row("succeeded", "healthy", "v1", "v1");
        assert_eq!(judge(&mut any(), std::slice::from_ref(&good)), Verdict::Done);
        assert_eq!(judge(&mut any(), &[row("adopted", "healthy", "v1", "v1")]), Verdict::Done);
        for not_yet in [
            row("succeeded", "healthy", "v2", "v1"),
            row("succeeded", "degraded", "v1", "v1"),
            row("verifying", "healthy", "v1", "v1"),
            row("awaiting_approval", "healthy", "v2", "v1"),
            row("none", "unknown", "v1", "v1"),
        ] {
            let verdict = judge(&mut any(), &[good.clone(), not_yet.clone()]);
            assert!(matches!(verdict, Verdict::Pending(_)), "{not_yet}: {verdict:?}");
        }
    }

    #[test]
    fn it_is_not_done_while_a_version_is_on_its_way_into_the_fleet_or_the_fleet_is_compared() {
        let mut good = row("succeeded", "healthy", "v1", "v1");
        let scope = Scope { service: "shop".parse().unwrap(), environment: "stage".parse().unwrap() };
        let mut moved = status(std::slice::from_ref(&good));
        moved.fleet_head = Some(dhow_core::port::CommitId::new("2".repeat(40)).unwrap());
        assert!(matches!(any().judge(&scope, &moved), Verdict::Pending(why) if why.contains("2222222")));
        assert_eq!(version("v1").judge(&scope, &moved), Verdict::Done);
        good["coming"] = row("", "healthy", "v2", "v2")["desired"].clone();
        good["waiting_for"] = "web v2 to be committed to the fleet".into();
        let verdict = judge(&mut any(), std::slice::from_ref(&good));
        assert!(matches!(&verdict, Verdict::Pending(why) if why.contains("web v2 to be")), "{verdict:?}");
        assert_eq!(judge(&mut version("v1"), &[good]), Verdict::Done, "another version was waited for");
        let mut long = Watch { compared: Instant::now().checked_sub(COMPARED * 2), ..any() };
        assert_eq!(long.judge(&scope, &moved), Verdict::Done, "other services were waited for");
    }

    #[test]
    fn a_failure_is_told_with_its_reason_and_the_last_answers() {
        let mut bad = row("rolled_back", "healthy", "v2", "v1");
        bad["reason"] = "a check failed".into();
        bad["failure"] = json!({"check": "http /", "answers": ["500 broken"]});
        let Verdict::Failed(why) = judge(&mut any(), &[bad]) else { panic!("not failed") };
        assert_eq!(
            why,
            "shop/static_file/stage is rolled_back: a check failed\n  check http /\n    500 broken"
        );
        for phase in ["stalled", "rejected", "cancelled"] {
            let verdict = judge(&mut any(), &[row(phase, "healthy", "v1", "v1")]);
            assert!(matches!(verdict, Verdict::Failed(_)), "{phase}");
        }
    }

    #[test]
    fn a_version_that_is_not_selected_yet_is_waited_for_whatever_failed_before() {
        let mut watch = version("v3");
        assert!(matches!(
            judge(&mut watch, &[row("rolled_back", "healthy", "v1", "v1")]),
            Verdict::Pending(_)
        ));
        assert!(matches!(judge(&mut watch, &[row("checking", "healthy", "v3", "v1")]), Verdict::Pending(_)));
        assert_eq!(judge(&mut watch, &[row("succeeded", "healthy", "v3", "v3")]), Verdict::Done);
    }

    #[test]
    fn a_version_that_was_taken_back_has_failed() {
        let mut watch = version("v3");
        judge(&mut watch, &[row("checking", "healthy", "v3", "v1")]);
        let verdict = judge(&mut watch, &[row("succeeded", "healthy", "v1", "v1")]);
        assert!(matches!(&verdict, Verdict::Failed(why) if why.contains("v3 was taken back")), "{verdict:?}");
    }

    #[test]
    fn a_deployment_that_the_fleet_does_not_have_fails_at_once_but_not_before_the_fleet_was_read() {
        assert!(matches!(judge(&mut any(), &[]), Verdict::Failed(_)));
        let scope = Scope { service: "shop".parse().unwrap(), environment: "stage".parse().unwrap() };
        let unread = Status { fleet_commit: None, ..status(&[]) };
        assert!(matches!(any().judge(&scope, &unread), Verdict::Pending(_)));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(duration("1h30m").unwrap(), Duration::from_secs(5400));
        for bad in ["5", "-5m", "soon", "9000h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
