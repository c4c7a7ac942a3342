//! From the start of the process until it is ready, and the memory that it takes.

use std::time::Duration;

use anyhow::Result;
use dhow_core::port::{Batch, EventQuery, Store as _};
use dhow_store::SqliteStore;

use crate::lab::{Fleet, Lab, Serve};
use crate::report::{Goal, Report};

/// Events of a long life.
const EVENTS: usize = 100_000;
/// Events of a batch that is written for it.
const BATCH: usize = 1_000;

async fn starts(lab: &Lab, fleet: &Fleet, url: &str) -> Result<(Vec<Duration>, f64)> {
    let (mut times, mut idle) = (Vec::new(), 0.0);
    for _ in 0..lab.count(20, 2) {
        let serve = Serve::start(lab, url, fleet.folder(), "").await?;
        times.push(serve.ready);
        tokio::time::sleep(Duration::from_secs(1)).await;
        idle = serve.process()?.memory()?;
        serve.stop().await?;
    }
    Ok((times, idle))
}

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let mut empty = Vec::new();
    let mut idle = 0.0;
    for _ in 0..lab.count(20, 2) {
        let fleet = Fleet::new()?;
        fleet.write("dhow.yaml", "environments: { stage: { update: commit } }\n")?;
        fleet.push("the fleet begins")?;
        let url = format!("file://{}", fleet.folder().join("fleet.git").display());
        let serve = Serve::start(lab, &url, fleet.folder(), "").await?;
        empty.push(serve.ready);
        tokio::time::sleep(Duration::from_secs(1)).await;
        idle = serve.process()?.memory()?;
        serve.stop().await?;
    }
    report.times("start to ready, empty state", &empty, Some(Goal::AtMost(150.0)), None);
    report.add("memory, idle, empty state", idle, "MiB", Some(Goal::AtMost(25.0)));

    let fleet = Fleet::new()?;
    fleet.write("dhow.yaml", "environments: { stage: { update: commit } }\n")?;
    fleet.push("the fleet begins")?;
    let url = format!("file://{}", fleet.folder().join("fleet.git").display());
    let (_, _) = starts(lab, &fleet, &url).await?;
    fill(&fleet, lab.count(EVENTS, 2_000)).await?;
    let (times, idle) = starts(lab, &fleet, &url).await?;
    let what = format!("start to ready, {} events", lab.count(EVENTS, 2_000));
    report.times(&what, &times, Some(Goal::AtMost(500.0)), None);
    report.tell("memory, idle, with these events", idle, "MiB");
    Ok(())
}

/// Repeats what is in the log until it is long.
async fn fill(fleet: &Fleet, count: usize) -> Result<()> {
    let store = SqliteStore::open(&fleet.folder().join("state/dhow.db")).await?;
    let stored = store.events(EventQuery::default()).await?;
    let mut written = stored.len();
    while written < count {
        let mut batch = Batch::default();
        for event in stored.iter().cycle().take(BATCH) {
            batch.events.push(event.event.clone());
        }
        store.commit(batch).await?;
        written += BATCH;
    }
    Ok(())
}
