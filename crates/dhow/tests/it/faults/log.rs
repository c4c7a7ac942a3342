//! A log that nobody reads: a terminal that was stopped, a service manager that hangs.

use std::time::Duration;

use tokio::time::timeout;

use super::{HOST, page};
use crate::support::visitors::Visitors;
use crate::support::{DEADLINE, Fleet, SHOP, site};

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_rollout_and_no_stop() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().env("DHOW_LOG", "trace").start().await;
    serve.reads_its_log(false);
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let visitors = Visitors::of_site(&serve, HOST);
    // Far more than a pipe holds.
    let much = async {
        for _ in 0..1_000 {
            serve.get("status").await;
        }
    };
    timeout(DEADLINE, much).await.expect("it waits for somebody to read its log");
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    let (code, took) = serve.terminate().await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
