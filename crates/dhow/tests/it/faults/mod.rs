//! What goes wrong outside of Dhow, through the real binary. In each: visitors are served by the old version and
//! counted, what went wrong is told with its place, and what goes away by itself needs no person afterwards. What goes
//! wrong with engines is in `docker::faults`.

mod beside;
mod clock;
mod descriptors;
mod disk;
mod flood;
mod git;
mod log;
mod registry;
mod state;
mod stop;

use std::time::Duration;

use serde_json::Value;

use crate::support::outside::Outside;
use crate::support::{DEADLINE, Fleet, SHOP, Serve, site};

/// Where the shop's visitors go.
const HOST: &str = "shop.stage.localhost";

/// The page of a version.
fn page(text: &str) -> String {
    format!("<h1>{text}</h1>")
}

/// The shop, with version `1.0.0` live, from the embedded registry.
async fn shop(fleet: &Fleet) -> Serve {
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    serve
}

/// A fleet whose shop lies in a registry outside, with `1.0.0` live.
async fn shop_outside() -> (Outside, Fleet, Serve) {
    let outside = Outside::open().await;
    let service = SHOP[0].1.replace("dhow.test", &outside.address);
    let stage = format!("bundle: {}/shop/web\n", outside.address);
    let fleet = Fleet::with(&[(SHOP[0].0, &service), (SHOP[1].0, &stage)]).await;
    outside.publish(&fleet.home(), &site("one"), "1.0.0").await.ok();
    let serve = fleet.serve().start().await;
    serve.reaches("shop", "stage", "1.0.0").await;
    (outside, fleet, serve)
}

/// Waits until `status` says all of these words.
async fn told(serve: &Serve, words: &[&str]) -> Value {
    serve.until("status", |s| words.iter().all(|word| s.to_string().contains(word))).await
}

/// Every version came into the fleet and was rolled out once, and none was blamed.
async fn once_each(fleet: &Fleet, serve: &Serve, versions: &[&str]) {
    let log = fleet.log().await;
    for version in versions {
        let commits = log.iter().filter(|subject| subject.contains(&format!("web {version}"))).count();
        assert_eq!(commits, 1, "{version}: {log:#?}");
    }
    let queued = serve.events("rollout_queued").await;
    assert_eq!(queued.len(), versions.len(), "{queued:#?}");
    let quarantine = serve.get("quarantine").await;
    assert_eq!(quarantine["quarantined"].as_array().unwrap().len(), 0, "{quarantine:#}");
}

/// The fleet with the shop.
async fn fleet() -> Fleet {
    Fleet::with(&SHOP).await
}

/// Waits until the log of `serve` has these words: where its API cannot be asked.
async fn told_in_the_log(serve: &Serve, words: &str) {
    let look = async {
        while !serve.said().contains(words) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, look).await;
    assert!(found.is_ok(), "{words:?} is not in what serve said: {}", serve.said());
}
