//! A deployment that is in trouble, beside others that are not.

use std::time::Duration;

use tokio::time::Instant;

use super::{HOST, page};
use crate::support::visitors::Visitors;
use crate::support::{Fleet, SHOP, Serve, broken_site, site};

/// A service like the shop, of another name.
fn like_the_shop(name: &str, limit: &str) -> [(String, String); 2] {
    let service = SHOP[0]
        .1
        .replace("shop/web", &format!("{name}/web"))
        .replace("limit: 1s", &format!("limit: {limit}"));
    [
        (format!("services/{name}/dhow.yaml"), service),
        (format!("services/{name}/static_file/stage/dhow.yaml"), format!("bundle: dhow.test/{name}/web\n")),
    ]
}

#[tokio::test]
async fn a_check_that_hangs_is_ended_told_and_its_version_taken_back() {
    let fleet = Fleet::empty().await;
    let hang = fleet.folder().join("hang");
    let checks = format!(
        "artifacts:\n  web: {{ bundle: dhow.test/shop/web, policy: {{ semver: \"*\" }} }}\nchecks:\n  - command: [sh, -c, \
         \"test ! -e {0} || exec sleep 98765\"]\n    timeout: 300ms\n    retry: 100ms\n    limit: 1s\n",
        hang.display()
    );
    fleet.push("the fleet begins", &[(SHOP[0].0, &checks), SHOP[1]]).await;
    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let visitors = Visitors::of_site(&serve, HOST);
    std::fs::write(&hang, "").unwrap();
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    let is_back = |s: &serde_json::Value| s["deployments"][0]["phase"] == "rolled_back";
    let status = serve.until("status", is_back).await;
    let reason = status["deployments"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("failed before it went live") && reason.contains("so it was killed"), "{reason}");
    std::fs::remove_file(&hang).unwrap();
    serve.publish(&site("three"), "shop/web:3.0.0").await.ok();
    serve.reaches("shop", "stage", "3.0.0").await;
    visitors.saw_only(&[&page("one"), &page("three")]).await;
    let left = children(&serve, "sleep");
    assert!(left.is_empty(), "what the check ran was left behind: {left:?}");
}

/// Processes of this name that `serve` is the parent of.
fn children(serve: &Serve, name: &str) -> Vec<String> {
    let list =
        std::process::Command::new("ps").args(["-o", "comm=", "--ppid", &serve.pid()]).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    list.lines().filter(|line| line.trim() == name).map(str::to_owned).collect()
}

/// How long it takes from the push until a version is verified.
async fn time_of(serve: &Serve, name: &str, version: &str) -> Duration {
    let begun = Instant::now();
    serve.publish(&site(version), &format!("{name}/web:{version}")).await.ok();
    serve.reaches(name, "stage", version).await;
    begun.elapsed()
}

#[tokio::test]
async fn a_deployment_whose_rollout_always_fails_slows_no_healthy_one() {
    let files = [like_the_shop("good", "20s"), like_the_shop("bad", "1s")].concat();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files).await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("first"), "bad/web:1.0.0").await.ok();
    serve.reaches("bad", "stage", "1.0.0").await;
    time_of(&serve, "good", "1.0.0").await;
    let bad = Visitors::of_site(&serve, "bad.stage.localhost");
    let good = Visitors::of_site(&serve, "good.stage.localhost");
    let mut usual = Vec::new();
    // As much is to be done then: the neighbour has a new version too, and it is healthy.
    for n in 2..=4 {
        let version = format!("{n}.0.0");
        let (to, healthy) = (format!("bad/web:{version}"), site(&version));
        let (sent, took) = tokio::join!(serve.publish(&healthy, &to), time_of(&serve, "good", &version));
        sent.ok();
        usual.push(took);
        serve.reaches("bad", "stage", &version).await;
    }
    let mut beside = Vec::new();
    for n in 5..=7 {
        let version = format!("{n}.0.0");
        let to = format!("bad/web:{version}");
        let broken = broken_site(&version);
        let (sent, took) = tokio::join!(serve.publish(&broken, &to), time_of(&serve, "good", &version));
        sent.ok();
        beside.push(took);
        let taken_back = |q: &serde_json::Value| q["quarantined"].to_string().contains(&to);
        serve.until("quarantine", taken_back).await;
    }
    usual.sort();
    beside.sort();
    eprintln!("event to verified, the middle of three: usually {:?}, beside {:?}", usual[1], beside[1]);
    // The machine does other things too; what would be seen is a wait for the failing check.
    assert!(beside[1] < usual[1] * 2 + Duration::from_millis(500), "{usual:?} usually, {beside:?} beside");
    let pages: Vec<String> = (1..=7).map(|n| page(&format!("{n}.0.0"))).collect();
    let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
    bad.saw_only(&[&[page("first").as_str()], &pages[1..4]].concat()).await;
    good.saw_only(&pages).await;
}
