//! Ten thousand events of the registry as fast as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::{HOST, fleet, once_each, page, shop};
use crate::support::visitors::Visitors;
use crate::support::{Serve, site};
use dhow_testkit::Tmpfs;

const EVENTS: usize = 10_000;
/// Pushes under way at a time.
const AT_ONCE: usize = 32;
/// What the whole flood may add to the process's memory at its highest, in MiB.
const MEMORY: u64 = 48;

/// The highest that the process's memory was, in MiB.
fn peak(serve: &Serve) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serve.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test]
async fn ten_thousand_registry_events_become_few_looks_and_little_memory() {
    let fleet = fleet().await;
    let Some(_disk) = Tmpfs::mount(&fleet.folder().join("state"), 128) else { return };
    let serve = shop(&fleet).await;
    let visitors = Visitors::of_site(&serve, HOST);
    let before = peak(&serve);
    let url = format!("http://{}/v2/shop/web/manifests/1.0.0", serve.api);
    let (http, admin) = (reqwest::Client::builder().no_proxy().build().unwrap(), serve.admin());
    let got = http.get(&url).bearer_auth(&admin).send().await.unwrap();
    let media_type = got.headers()["content-type"].to_str().unwrap().to_owned();
    let manifest = got.bytes().await.unwrap();
    let (sent, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let pushers = (0..AT_ONCE).map(|_| {
        let (http, url, admin, media_type) = (http.clone(), url.clone(), admin.clone(), media_type.clone());
        let (manifest, sent) = (manifest.clone(), Arc::clone(&sent));
        tokio::spawn(async move {
            while sent.fetch_add(1, Ordering::Relaxed) < EVENTS {
                let request = http.put(&url).bearer_auth(&admin).header("content-type", &media_type);
                let answer = request.body(manifest.clone()).send().await.unwrap();
                assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
            }
        })
    });
    for pusher in pushers.collect::<Vec<_>>() {
        pusher.await.unwrap();
    }
    let (took, grown) = (begun.elapsed(), peak(&serve) - before);
    eprintln!("{EVENTS} events in {took:?}; memory grew from {before} MiB by {grown} MiB at its highest");
    assert!(grown < MEMORY, "{grown} MiB more");
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
    once_each(&fleet, &serve, &["1.0.0", "2.0.0"]).await;
}
