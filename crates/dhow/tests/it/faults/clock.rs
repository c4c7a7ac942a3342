//! A wall clock that jumps by hours, in both directions.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::page;
use crate::support::visitors::Visitors;
use crate::support::{Fleet, Serve, engines, site};

/// Production takes what was healthy in stage for this long.
const SOAK: Duration = Duration::from_secs(3);

const FILES: [(&str, &str); 4] = [
    (
        "dhow.yaml",
        "environments:\n  stage: { update: commit }\n  production: { from: stage, soak: 3s, update: commit }\n",
    ),
    (
        "services/shop/dhow.yaml",
        "artifacts:\n  web: { bundle: dhow.test/shop/web, policy: { semver: \"*\" } }\n",
    ),
    ("services/shop/static_file/stage/dhow.yaml", "bundle: dhow.test/shop/web\n"),
    ("services/shop/static_file/production/dhow.yaml", "bundle: dhow.test/shop/web\n"),
];

/// The library that shows a process another wall clock.
fn library() -> Option<PathBuf> {
    engines::find("faketime")?;
    let lies = |machine| PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"));
    Some(["x86_64", "aarch64"].map(lies).into_iter().find(|path| path.is_file()).unwrap())
}

/// Publishes a version and lets the clock jump as soon as stage has it; production has it after the soak, no sooner.
async fn soaks_through(serve: &Serve, jump: impl Fn(), version: &str) {
    serve.publish(&site(version), &format!("shop/web:{version}")).await.ok();
    serve.reaches("shop", "stage", version).await;
    let begun = Instant::now();
    jump();
    serve.reaches("shop", "production", version).await;
    let soaked = begun.elapsed();
    // Healthy begins a little before we hear of it.
    assert!(soaked > SOAK - Duration::from_millis(700), "{version} was in production after {soaked:?}");
    eprintln!("{version}: production after {soaked:?}");
}

#[tokio::test]
async fn a_clock_that_jumps_by_hours_neither_shortens_nor_stops_a_soak_and_loses_no_event() {
    let Some(library) = library() else { return };
    let fleet = Fleet::with(&FILES).await;
    let clock = fleet.folder().join("clock");
    let set = |offset: &str| std::fs::write(&clock, offset).unwrap();
    set("+0");
    let start = || {
        let start = fleet.serve().env("LD_PRELOAD", library.to_string_lossy());
        let start = start.env("FAKETIME_TIMESTAMP_FILE", clock.to_string_lossy());
        start.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    };
    let serve = start().start().await;
    soaks_through(&serve, || (), "1.0.0").await;
    let visitors = Visitors::of_site(&serve, "shop.production.localhost");
    soaks_through(&serve, || set("+5h"), "2.0.0").await;
    soaks_through(&serve, || set("-9h"), "3.0.0").await;
    let pages = ["1.0.0", "2.0.0", "3.0.0"].map(page);
    visitors.saw_only(&pages.each_ref().map(String::as_str)).await;
    let history = serve.get("history?limit=1000").await;
    let events = history["events"].as_array().unwrap();
    let hours: Vec<&Value> = events.iter().map(|event| &event["at"]).collect();
    assert!(jumped(&hours), "the clock did not jump: {hours:?}");
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "events are in the order of their commits, whatever the clock says");

    // What the state holds from the future is no reason to wait for it.
    serve.terminate().await;
    set("-20h");
    let serve = start().start().await;
    soaks_through(&serve, || (), "4.0.0").await;
    assert_eq!(serve.events("rollout_queued").await.len(), 8, "each version once in each environment");
}

/// Times of events, in the order of the events, that go forward and back by hours.
fn jumped(times: &[&Value]) -> bool {
    let times: Vec<jiff::Timestamp> = times.iter().map(|at| at.as_str().unwrap().parse().unwrap()).collect();
    let hours = |a: &jiff::Timestamp, b: &jiff::Timestamp| b.duration_since(*a).as_hours();
    times.windows(2).any(|two| hours(&two[0], &two[1]) >= 4)
        && times.windows(2).any(|two| hours(&two[0], &two[1]) <= -8)
}
