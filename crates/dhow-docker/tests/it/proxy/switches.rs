//! Old to new, 20 times, under load.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use dhow_docker::proxy::{Change, Leaving, admit, drain};
use tokio::task::JoinSet;

use super::bench::{Bench, FOREIGN, HOST, Kind, LIMIT, Version, site};
use super::load::Load;
use super::place::Local;
use super::socket::Visitor;

const SWITCHES: usize = 20;
const DRAIN: Duration = Duration::from_secs(12);

/// What the switches took, each.
struct Times {
    switch: Vec<Duration>,
    drain: Vec<Duration>,
    /// The other site's WebSocket, open since before the first switch, still answers.
    foreign: bool,
    again: u64,
}

async fn switches(bench: &Bench) -> Times {
    let (site, place) = (site(|_| {}), Arc::new(Local::default()));
    let mut old = Version::start("0").await;
    bench.proxy.set(&site, &[old.upstream()]).await.unwrap();
    bench.proxy.ready(&site, &[old.upstream()], LIMIT).await.unwrap();
    let load = Load::start(bench.front, HOST);
    let mut other = Visitor::connect(bench.front, FOREIGN).await.unwrap();
    other.upgrade().await.unwrap();
    let (mut switch, mut drains) = (Vec::new(), JoinSet::new());
    for n in 1..=SWITCHES {
        let new = Version::start(&n.to_string()).await;
        let (beside, alone) = ([old.upstream(), new.upstream()], [new.upstream()]);
        let started = Instant::now();
        admit(place.as_ref(), &[new.address]).await.unwrap();
        bench.proxy.set(&site, &beside).await.unwrap();
        bench.proxy.ready(&site, &beside, LIMIT).await.unwrap();
        let change = bench.proxy.set(&site, &alone).await.unwrap();
        bench.proxy.ready(&site, &alone, LIMIT).await.unwrap();
        switch.push(started.elapsed());
        assert_eq!(change == Change::Configuration, bench.kind == Kind::CaddyReloading);
        assert_eq!(bench.version().await, n.to_string(), "after it is ready only the new one serves");
        let (proxy, place) = (bench.proxy.clone(), place.clone());
        let gone = std::mem::replace(&mut old, new);
        drains.spawn(async move {
            let leaving = [Leaving { address: gone.address, pid: None }];
            let drained = drain(proxy.as_ref(), place.as_ref(), &leaving, DRAIN).await.unwrap();
            gone.kill().await;
            assert_eq!(drained.open, Some(0), "all that was open ended within the drain time");
            drained.waited
        });
    }
    let drain = drains.join_all().await;
    let seen = load.end().await;
    let foreign = other.say("still here").await.is_ok();
    println!("{:?}: {seen:?}", bench.kind);
    assert_eq!((seen.failed.load(SeqCst), seen.cut.load(SeqCst)), (0, 0), "{seen:?}");
    assert!(seen.answered.load(SeqCst) > 500 && seen.long.load(SeqCst) >= 5, "{seen:?}");
    assert!(seen.sockets.load(SeqCst) >= 5, "{seen:?}");
    Times { switch, drain, foreign, again: seen.again.load(SeqCst) }
}

#[tokio::test]
async fn a_drain_waits_for_a_socket_until_its_time_is_over() {
    for kind in [Kind::Caddy, Kind::CaddyReloading, Kind::Traefik] {
        let Some(bench) = Bench::start(kind).await else { return };
        let (site, place) = (site(|_| {}), Local::default());
        let (old, new) = (Version::start("1").await, Version::start("2").await);
        bench.proxy.set(&site, &[old.upstream()]).await.unwrap();
        bench.proxy.ready(&site, &[old.upstream()], LIMIT).await.unwrap();
        let mut visitor = Visitor::connect(bench.front, HOST).await.unwrap();
        assert_eq!(visitor.upgrade().await.unwrap(), "1");
        bench.proxy.set(&site, &[new.upstream()]).await.unwrap();
        bench.proxy.ready(&site, &[new.upstream()], LIMIT).await.unwrap();
        for pid in [None, Some(old.pid())] {
            let leaving = [Leaving { address: old.address, pid }];
            let limit = Duration::from_secs(3);
            let drained = drain(bench.proxy.as_ref(), &place, &leaving, limit).await.unwrap();
            assert_eq!(drained.open, Some(1), "{kind:?} {drained:?}");
            assert!(drained.waited >= limit, "{drained:?}");
        }
        assert_eq!(visitor.say("still here").await.unwrap(), "still here", "{kind:?}");
        drop(visitor);
        let leaving = [Leaving { address: old.address, pid: None }];
        let drained = drain(bench.proxy.as_ref(), &place, &leaving, LIMIT).await.unwrap();
        assert_eq!(drained.open, Some(0), "{kind:?}");
        assert!(drained.waited < Duration::from_secs(4), "nobody is waited for in vain: {drained:?}");
    }
}

fn print(kind: Kind, times: &mut Times) {
    times.switch.sort();
    times.drain.sort();
    let (switch, drain) = (&times.switch, &times.drain);
    println!(
        "{kind:?}: a switch takes {:?} (median; at most {:?}), its drain {:?} (at most {:?}), idle closed {}, foreign WebSocket lives: {}",
        switch[switch.len() / 2],
        switch[switch.len() - 1],
        drain[drain.len() / 2],
        drain[drain.len() - 1],
        times.again,
        times.foreign,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_caddy_fail_cut_and_reload_nothing() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
    assert_eq!((times.again, times.foreign), (0, true), "a switch touches nobody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_a_caddy_that_reloads_fail_and_cut_nothing() {
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_traefik_fail_and_cut_nothing() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
    assert_eq!((times.again, times.foreign), (0, true), "a switch touches nobody else");
}
