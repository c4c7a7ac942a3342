//! Killed at an instant that nobody chose, Dhow starts again and ends where it would have ended.

use serde_json::Value;

use crate::start_stop::SLOW;
use crate::support::{Fleet, SHOP, Serve, broken_site, site};

#[tokio::test]
async fn killed_during_a_rollout_it_goes_on_and_does_nothing_twice() {
    let fleet = Fleet::with(&SHOP).await;
    let go = fleet.folder().join("go");
    let slow = SLOW.replace("GO", &go.display().to_string());
    fleet.push("a check that passes later", &[("services/shop/dhow.yaml", &slow)]).await;
    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.until("status", |s| s["deployments"][0]["phase"] == "checking").await;
    serve.kill().await;

    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.until("status", |s| s["deployments"][0]["phase"] == "checking").await;
    assert_eq!(
        serve.page("shop.stage.localhost", "/").await.0,
        404,
        "nothing is live before its check passed"
    );
    std::fs::write(&go, "").unwrap();
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(serve.page("shop.stage.localhost", "/").await.1, "<h1>one</h1>\n");
    assert_eq!(serve.events("rollout_queued").await.len(), 1, "one rollout");
    assert_eq!(serve.events("commit_done").await.len(), 1, "one commit");
    let log = fleet.log().await;
    assert_eq!(log.iter().filter(|subject| subject.contains("web 1.0.0")).count(), 1, "{log:?}");
}

/// An event at which it is killed: its kind, and a field that must be so.
type Instant = (&'static str, Option<(&'static str, &'static str)>);

/// Publishes, kills at the first new event of this kind, and starts again.
async fn killed_at(
    fleet: &Fleet,
    serve: Serve,
    files: &[(&str, String)],
    version: &str,
    at: &Instant,
) -> Serve {
    let newest =
        serve.get("history?limit=1&newest_first=true").await["events"][0]["seq"].as_u64().unwrap_or(0);
    let (kind, field) = *at;
    let is_it = |event: &Value| {
        event["kind"] == kind && field.is_none_or(|(name, value)| event[name].to_string().contains(value))
    };
    serve.publish(files, &format!("shop/web:{version}")).await.ok();
    let new = format!("history?limit=1000&after={newest}");
    serve.until(&new, |h| h["events"].as_array().unwrap().iter().any(is_it)).await;
    serve.kill().await;
    fleet.serve().start().await
}

#[tokio::test]
async fn killed_at_each_step_of_an_update_it_makes_one_commit_and_one_rollout_a_version() {
    let fleet = Fleet::with(&SHOP).await;
    let mut serve = fleet.serve().start().await;
    let instants: [Instant; 10] = [
        ("version_seen", None),
        ("update_selected", None),
        ("commit_started", None),
        ("commit_done", None),
        ("rollout_queued", None),
        ("step_started", Some(("key", "unpack"))),
        ("step_started", Some(("key", "switch"))),
        ("rollout_moved", Some(("to", "verifying"))),
        ("rollout_moved", Some(("to", "finishing"))),
        ("rollout_moved", Some(("to", "succeeded"))),
    ];
    for (n, at) in instants.iter().enumerate() {
        let version = format!("{}.0.0", n + 1);
        serve = killed_at(&fleet, serve, &site(&version), &version, at).await;
        serve.reaches("shop", "stage", &version).await;
        assert_eq!(
            serve.page("shop.stage.localhost", "/").await.1,
            format!("<h1>{version}</h1>\n"),
            "killed at {at:?}"
        );
        let log = fleet.log().await;
        let commits = log.iter().filter(|s| s.contains(&format!("web {version}"))).count();
        assert_eq!(commits, 1, "killed at {at:?}: {log:?}");
        assert_eq!(serve.events("rollout_queued").await.len(), n + 1, "killed at {at:?}");
    }
    let moved = serve.events("rollout_moved").await;
    assert_eq!(moved.iter().filter(|e| e["to"] == "succeeded").count(), instants.len());
}

#[tokio::test]
async fn killed_at_each_step_of_a_rollback_it_goes_back_once_in_the_world_and_in_git() {
    let fleet = Fleet::with(&SHOP).await;
    let mut serve = fleet.serve().start().await;
    serve.publish(&site("good"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let instants: [Instant; 6] = [
        ("rollout_moved", Some(("to", "checking"))),
        ("rollout_moved", Some(("to", "rolling_back"))),
        ("step_started", Some(("undo", "true"))),
        ("quarantined", None),
        ("commit_started", Some(("updates", "rollback"))),
        ("commit_done", Some(("updates", "rollback"))),
    ];
    for (n, at) in instants.iter().enumerate() {
        let version = format!("{}.0.0", n + 2);
        serve = killed_at(&fleet, serve, &broken_site(&version), &version, at).await;
        let back = |s: &Value| {
            let row = &s["deployments"][0];
            row["phase"] == "rolled_back" && row["desired"][0]["tag"] == "1.0.0"
        };
        let in_quarantine = |q: &Value| q["quarantined"].to_string().contains(&format!("shop/web:{version}"));
        serve.until("quarantine", in_quarantine).await;
        serve.until("status", back).await;
        assert_eq!(serve.page("shop.stage.localhost", "/").await.1, "<h1>good</h1>\n", "killed at {at:?}");
        let log = fleet.log().await;
        let ours = log.iter().take_while(|s| !s.contains("fleet begins")).count();
        assert_eq!(ours, 1 + 2 * (n + 1), "there and back, once each; killed at {at:?}: {log:#?}");
        assert_eq!(serve.events("rollout_queued").await.len(), n + 2, "killed at {at:?}");
    }
}

/// Production takes what runs in stage after one vote.
const GATED: [(&str, &str); 4] = [
    (
        "dhow.yaml",
        "environments:\n  stage: { update: commit }\n  production: { from: stage, approvals: { needed: 1 } }\n",
    ),
    (
        "services/shop/dhow.yaml",
        "artifacts:\n  web: { bundle: dhow.test/shop/web, policy: { semver: \"*\" } }\n",
    ),
    ("services/shop/static_file/stage/dhow.yaml", "bundle: dhow.test/shop/web\n"),
    ("services/shop/static_file/production/dhow.yaml", "bundle: dhow.test/shop/web\n"),
];

#[tokio::test]
async fn killed_around_an_approval_it_asks_once_and_keeps_every_vote() {
    let fleet = Fleet::with(&GATED).await;
    let mut serve = fleet.serve().start().await;
    for (n, version) in ["1.0.0", "2.0.0"].into_iter().enumerate() {
        serve = killed_at(&fleet, serve, &site(version), version, &("proposal_opened", None)).await;
        serve.until("status", |s| s["proposals"].as_array().is_some_and(|all| all.len() == 1)).await;
        serve.reaches("shop", "stage", version).await;
        serve.dhow(&["approve", "shop", "production"]).await.ok();
        // The answer was given: from here on the vote counts, whatever happens.
        serve.kill().await;
        serve = fleet.serve().start().await;
        serve.reaches("shop", "production", version).await;
        assert_eq!(serve.events("proposal_opened").await.len(), n + 1, "it asks once a version");
        let log = fleet.log().await;
        let commits = log.iter().filter(|s| s.contains(&format!("production: web {version}"))).count();
        assert_eq!(commits, 1, "{log:?}");
    }
}
