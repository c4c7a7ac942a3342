//! Starting and stopping `dhow serve`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::process::run;
use crate::support::{Fleet, SHOP, site};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_start_closes_the_state_to_others_and_never_says_the_token() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().env("DHOW_LOG", "debug").start().await;
    assert_eq!(mode(serve.state()), 0o700);
    assert_eq!(mode(&serve.state().join("admin.token")), 0o600);
    serve.until("status", |s| s["fleet_commit"].is_string()).await;
    assert!(!serve.said().contains(&serve.admin()), "the token is in the log");
    let database = std::fs::read(serve.state().join("dhow.db")).unwrap();
    assert!(!serve.said().contains('\u{1b}'), "colours are for terminals: {}", serve.said());
    let token = serve.admin().into_bytes();
    assert!(!database.windows(token.len()).any(|w| w == token), "the token is stored as it is");
}

#[tokio::test]
async fn a_second_serve_on_the_same_state_is_refused_and_told_who_holds_it() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let said = run(fleet.serve().command()).await;
    let state = serve.state().display().to_string();
    said.refused(&[&format!("{state} is held by process {}", serve.pid()), "give another directory"]);
}

#[tokio::test]
async fn a_stop_ends_in_time_says_so_to_the_commands_and_the_next_start_goes_on() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let (state, token) = (serve.state().to_owned(), serve.admin());
    assert!(state.join("listen").is_file());
    let (code, took) = serve.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!state.join("listen").exists(), "commands would look for it there");
    let mut status = crate::support::process::dhow(&fleet.home());
    status.args(["status", "--state"]).arg(&state);
    run(status).await.refused(&["seems not to run", "start it"]);

    let serve = fleet.serve().start().await;
    assert_eq!(serve.admin(), token, "the token of the first start stays");
    let (code, body) = serve.page("shop.stage.localhost", "/").await;
    assert_eq!((code, body.as_str()), (200, "<h1>one</h1>\n"), "what ran is served from the start");
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(serve.events("rollout_queued").await.len(), 1, "a start alone rolls out nothing");
}

#[tokio::test]
async fn a_stop_during_a_slow_check_ends_in_time_too() {
    let fleet = Fleet::with(&SHOP).await;
    fleet
        .push(
            "a check that does not pass yet",
            &[("services/shop/dhow.yaml", &SLOW.replace("GO", "/nonexistent"))],
        )
        .await;
    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.until("status", |s| s["deployments"][0]["phase"] == "checking").await;
    let (code, took) = serve.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "a check is not waited for: {took:?}");

    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.until("status", |s| s["deployments"][0]["phase"] == "checking").await;
    assert_eq!(serve.events("rollout_queued").await.len(), 1, "the same rollout goes on");
}

/// A service whose check passes when the file `GO` is there.
pub const SLOW: &str = "artifacts:\n  web: { bundle: dhow.test/shop/web, policy: { semver: \"*\" } }\nchecks:\n  - \
                        command: [test, -e, GO]\n    retry: 100ms\n    limit: 10m\n";

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_told_with_its_lines_before_anything_is_made() {
    let fleet = Fleet::with(&SHOP).await;
    let start = fleet.serve().config("secret: []\ncommand_checks: maybe\n");
    let said = run(start.command()).await;
    said.refused(&["serve.yaml:5:1", "did you mean \"secrets\"?", "serve.yaml:6:", "true or false"]);
    assert!(!fleet.folder().join("state").exists());
}
