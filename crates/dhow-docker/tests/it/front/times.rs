//! What a deploy takes, beside `docker compose up -d --wait` on the same change.
//!
//! Three each, which tells little; `DHOW_ROUNDS=20` for as many as there are to be, and for the promise to be held.

use std::time::{Duration, Instant};

use dhow_core::fleet::ProxyKind;
use dhow_testkit::{asked_rounds, rounds};

use super::harbor::Harbor;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo xtask bench docker"]
async fn a_deploy_takes_little_more_than_compose_alone() {
    let rounds = rounds(3);
    let Some(mut harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    harbor.lab.options.stable = Duration::ZERO;
    harbor.settings.drain = Duration::from_secs(2);
    harbor.target = harbor.lab.target();
    let (path, project) =
        (harbor.lab.folder.path().join("compose.yaml"), format!("bare_{}", harbor.lab.service));
    let (mut bare, mut ours, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..=rounds {
        let tag = n.to_string();
        let pin = harbor.lab.version(&tag).await;
        let file = harbor.file("").replace(":1\n", &format!(":{tag}\n"));
        std::fs::write(&path, &file).unwrap();
        let begun = Instant::now();
        harbor
            .lab
            .lines(&["compose", "-p", &project, "-f", path.to_str().unwrap(), "up", "-d", "--wait"])
            .await;
        let took = begun.elapsed();
        let release = harbor.lab.release(&[("compose.yaml", &file)], &pin).await;
        let deployed = harbor.deploy(&release).await.unwrap();
        assert_eq!(harbor.version().await, tag);
        // The first of each starts from nothing.
        if n > 0 {
            bare.push(took);
            ours.push(deployed.serves);
            last = deployed.each;
        }
    }
    harbor.lab.docker(&["compose", "-p", &project, "down", "-t", "1"]).await;
    let (bare, ours) = (median(bare), median(ours));
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{rounds} each, medians: docker compose up -d --wait {bare:?}, a deploy until the new version serves {ours:?}: {ratio:.2} times"
    );
    println!("the last: {last:?}");
    assert!(asked_rounds().is_none() || ratio <= 1.2, "{ratio}");
}
