//! Fleets of many deployments, each with a repository of its own, on a registry and a Git remote that are 5 ms away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::lab::{Bundle, Fleet, LATENCY, Lab, Remote, Serve, is_verified};
use crate::report::{Goal, Report, ms};

/// Everything is due once in this time.
const INTERVAL: Duration = Duration::from_secs(60);
/// Calls at once that the fleet allows to its registry.
const CALLS: usize = 32;
/// When no call came for so long, a pass is over.
const QUIET: Duration = Duration::from_millis(1500);
/// Updates that stand in the registry before one nudge.
const AT_ONCE: usize = 500;

pub async fn run(lab: &Lab, report: &mut Report, size: usize) -> Result<()> {
    let size = if lab.quick { size / 50 } else { size };
    let fleet = Fleet::new()?;
    let remote = Remote::start(fleet.folder().to_owned()).await?;
    let registry = remote.address.to_string();
    let root = format!(
        "environments: {{ stage: {{ update: commit }} }}\nregistries: {{ \"{registry}\": {{ calls: {CALLS} }} }}\n"
    );
    fleet.write("dhow.yaml", &root)?;
    for number in 0..size {
        let service = format!("site{number}");
        let bundle = Bundle::new(&format!("site {number} 1"))?;
        remote.put(&format!("{service}/web"), "1.0.0", &bundle);
        fleet.site(&service, &registry, &format!(":1.0.0@{}", bundle.digest))?;
    }
    fleet.push("the fleet begins")?;
    let name = format!("fleet of {size}");
    let goal = |thousand: f64, ten: f64| {
        let goal = if size > 5_000 { ten } else { thousand };
        (!lab.quick).then_some(Goal::AtMost(goal))
    };

    let interval = INTERVAL.as_secs();
    let config = format!("fleet_interval: 2s\ntags_interval: {interval}s\nhealth_interval: {interval}s\n");
    let url = format!("http://{registry}/fleet.git");
    let begun = Instant::now();
    let serve = Serve::start(lab, &url, fleet.folder(), &config).await?;
    let mut events = crate::lab::Events::follow(&serve.api, &serve.token()?, 0).await?;
    let synced = events.verified(size).await?;
    report.add(
        format!("{name}, first sync until all verified"),
        (synced - begun).as_secs_f64(),
        "s",
        goal(15.0, 150.0),
    );
    calls(report, &format!("{name}, first sync"), &remote);

    let process = serve.process()?;
    let wait = Duration::from_secs(if lab.quick { 5 } else { 60 });
    tokio::time::sleep(wait).await;
    report.add(
        format!("{name}, memory {} s after", wait.as_secs()),
        process.memory()?,
        "MiB",
        goal(64.0, 200.0),
    );

    idle(lab, report, &name, &remote, &serve, goal(300.0, 3_000.0)).await?;
    at_once(lab, report, &name, &fleet, &remote, &serve).await?;
    one_line(lab, report, &name, &fleet, &serve, goal(1_000.0, 1_000.0)).await?;
    report.tell(format!("{name}, peak memory"), process.peak()?, "MiB");
    // Many an hour has less: the first sync, 500 updates and what people changed.
    tokio::time::sleep(wait).await;
    let count = serve.newest_event().await?;
    report.tell(
        format!("{name}, memory {} s after {count} events", wait.as_secs()),
        process.memory()?,
        "MiB",
    );
    serve.stop().await
}

/// A pass with nothing to do, with all that is due: it is made due by stopping the process for longer than its intervals.
async fn idle(
    lab: &Lab,
    report: &mut Report,
    name: &str,
    remote: &Remote,
    serve: &Serve,
    goal: Option<Goal>,
) -> Result<()> {
    let process = serve.process()?;
    nothing_under_way(remote).await;
    process.signal(Signal::STOP)?;
    let stopped = if lab.quick { 3 } else { INTERVAL.as_secs() * 5 / 4 };
    tokio::time::sleep(Duration::from_secs(stopped)).await;
    remote.forget();
    let before = process.cpu()?;
    let begun = Instant::now();
    process.signal(Signal::CONT)?;
    let last = quiet(remote, begun).await;
    let cpu = process.cpu()? - before;
    report.add(
        format!(
            "{name}, pass with nothing to do, all due, {CALLS} calls at once, {} ms latency",
            LATENCY.as_millis()
        ),
        ms(last - begun),
        "ms",
        goal,
    );
    report.tell(format!("{name}, pass with nothing to do, processor"), ms(cpu), "ms");
    calls(report, &format!("{name}, pass with nothing to do"), remote);
    Ok(())
}

/// Returns between two calls: one that is under way while the process is stopped has run out of its time afterwards, and
/// is made again a second later.
async fn nothing_under_way(remote: &Remote) {
    while remote.calls().last.is_some_and(|last| last.elapsed() < QUIET / 3) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When the last call was, once none came any more but the fleet's head.
async fn quiet(remote: &Remote, begun: Instant) -> Instant {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let last = remote.calls().last.unwrap_or(begun);
        if last.elapsed() > QUIET || begun.elapsed() > INTERVAL / 2 {
            return last;
        }
    }
}

/// Many new versions stand in the registry, and are found at one time.
async fn at_once(
    lab: &Lab,
    report: &mut Report,
    name: &str,
    fleet: &Fleet,
    remote: &Remote,
    serve: &Serve,
) -> Result<()> {
    let count = lab.count(AT_ONCE, 10);
    let process = serve.process()?;
    let mut events = serve.events().await?;
    let commits = fleet.commits()?;
    nothing_under_way(remote).await;
    process.signal(Signal::STOP)?;
    let stopped = if lab.quick { 70 } else { INTERVAL.as_secs() * 5 / 4 };
    tokio::time::sleep(Duration::from_secs(stopped)).await;
    for number in 0..count {
        remote.put(&format!("site{number}/web"), "1.1.0", &Bundle::new(&format!("site {number} 2"))?);
    }
    let begun = Instant::now();
    process.signal(Signal::CONT)?;
    let (mut verified, mut pushed, mut left) = (begun, begun, count);
    while left > 0 {
        let (at, event) = events.next().await?;
        if event["kind"] == "commit_done" {
            pushed = at;
        }
        if is_verified(&event) {
            (verified, left) = (at, left - 1);
        }
    }
    let made = fleet.commits()? - commits;
    let what = format!("{name}, {count} updates at once");
    report.add(format!("{what}: commits"), made as f64, "commits", Some(Goal::AtMost(3.0)));
    report.add(format!("{what}: last push"), ms(pushed - begun), "ms", Some(Goal::AtMost(2_000.0)));
    report.tell(format!("{what}: all verified"), ms(verified - begun), "ms");
    Ok(())
}

/// A person changes one line of one deployment.
async fn one_line(
    lab: &Lab,
    report: &mut Report,
    name: &str,
    fleet: &Fleet,
    serve: &Serve,
    goal: Option<Goal>,
) -> Result<()> {
    let mut times = Vec::new();
    for number in 0..lab.count(10, 2) {
        fleet.pull()?;
        let mut events = serve.events().await?;
        let path = "services/site1/static_file/stage/dhow.yaml";
        let bare = fleet.folder().join("fleet.git");
        let text = fleet.git(&bare, &["show", &format!("main:{path}")])?;
        let kept: String =
            text.lines().filter(|line| !line.starts_with("hosts:")).map(|line| format!("{line}\n")).collect();
        fleet.write(path, &format!("{kept}hosts: [host{number}.dhow.test]\n")).context("the site's file")?;
        fleet.push("one line")?;
        let (seen, _) = events.until(|event| event["kind"] == "fleet_moved").await?;
        let moved = Instant::now();
        ensure!(moved >= seen);
        let verified = events.verified(1).await?;
        times.push(verified - seen);
    }
    report.times(&format!("{name}, one line, from the new head to verified"), &times, goal, None);
    Ok(())
}

fn calls(report: &mut Report, what: &str, remote: &Remote) {
    for (kind, count) in remote.calls().by_kind {
        report.tell(format!("{what}: calls, {kind}"), count as f64, "calls");
    }
}
