//! SIGTERM in the middle of a rollout: it ends in time, and the same rollout goes on at the next start.

use std::time::Duration;

use super::{HOST, once_each, page, shop_outside};
use crate::support::outside::{Fault, Part};
use crate::support::visitors::Visitors;
use crate::support::{Fleet, SHOP, Serve, site};

/// What a service manager waits for.
const LIMIT: Duration = Duration::from_secs(10);

async fn stop(serve: Serve) {
    let (code, took) = serve.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < LIMIT, "{took:?}");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_pull_ends_in_time_and_the_pull_is_done_at_the_next_start() {
    let (outside, fleet, serve) = shop_outside().await;
    let visitors = Visitors::of_site(&serve, HOST);
    outside.breaks(Part::Blob, Fault::Drip(Duration::from_secs(1)));
    outside.publish(&fleet.home(), &site("two"), "2.0.0").await.ok();
    serve.until("status", |s| s["deployments"][0]["phase"] == "preparing").await;
    visitors.saw_only(&[&page("one")]).await;
    stop(serve).await;
    outside.heals();
    let serve = fleet.serve().start().await;
    let visitors = Visitors::of_site(&serve, HOST);
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}

#[tokio::test]
async fn a_stop_while_the_new_version_is_verified_goes_on_with_the_same_rollout() {
    let fleet = Fleet::empty().await;
    let (go, count) = (fleet.folder().join("go"), fleet.folder().join("count"));
    // Twice before it goes live, and then when it is let.
    let script =
        format!("echo >> {0}; test $(wc -l < {0}) -le 2 || test -e {1}", count.display(), go.display());
    let checks = format!(
        "artifacts:\n  web: {{ bundle: dhow.test/shop/web, policy: {{ semver: \"*\" }} }}\nchecks:\n  - command: [sh, -c, \
         \"{script}\"]\n    retry: 100ms\n    limit: 10m\n"
    );
    fleet.push("the fleet begins", &[(SHOP[0].0, &checks), SHOP[1]]).await;
    std::fs::write(&go, "").unwrap();
    let serve = fleet.serve().config("command_checks: true\n").start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    std::fs::remove_file(&go).unwrap();
    let visitors = Visitors::of_site(&serve, HOST);
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    // The checks of what runs count too: they are begun anew when the new one is there.
    serve.until("status", |s| s["deployments"][0]["phase"] == "checking").await;
    std::fs::write(&count, "").unwrap();
    serve.until("status", |s| s["deployments"][0]["phase"] == "verifying").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    stop(serve).await;
    let serve = fleet.serve().config("command_checks: true\n").start().await;
    let visitors = Visitors::of_site(&serve, HOST);
    serve.until("status", |s| s["deployments"][0]["phase"] == "verifying").await;
    std::fs::write(&go, "").unwrap();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}
