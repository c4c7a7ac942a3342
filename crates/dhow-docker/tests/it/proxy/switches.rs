//! Old to new, 20 times, under load.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use dhow_docker::proxy::{Change, Inside, Kernels, Leaving, ProxyError, Site, Switch, Upstream, drain};
use tokio::task::JoinSet;

use super::bench::{Bench, FOREIGN, HOST, Kind, LIMIT, Version, free, site};
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
    reset: u64,
}

async fn from_to(bench: &Bench, site: &Site, place: &Local, old: &Version, new: &Version) -> Change {
    let (proxy, executor) = (bench.proxy.as_ref(), place);
    let switch = Switch { proxy, executor, site, old: &[old.address], new: &[new.address] };
    switch.prepare().await.unwrap();
    switch.switch(LIMIT).await.unwrap()
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
        let started = Instant::now();
        let change = from_to(bench, &site, place.as_ref(), &old, &new).await;
        switch.push(started.elapsed());
        assert_eq!(change == Change::Configuration, bench.kind == Kind::CaddyReloading);
        assert_eq!(bench.version().await, n.to_string(), "after it is ready only the new one serves");
        let (proxy, place) = (bench.proxy.clone(), place.clone());
        let gone = std::mem::replace(&mut old, new);
        drains.spawn(async move {
            let leaving = [Leaving { address: gone.address, inside: None }];
            let kernels = Kernels { proxy: place.as_ref(), own: place.as_ref() };
            let drained = drain(proxy.as_ref(), kernels, &leaving, DRAIN).await.unwrap();
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
    Times { switch, drain, foreign, again: seen.again.load(SeqCst), reset: seen.reset.load(SeqCst) }
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
        let kernels = Kernels { proxy: &place, own: &place };
        for inside in [None, Some(Inside { pid: old.pid(), address: old.address })] {
            let leaving = [Leaving { address: old.address, inside }];
            let limit = Duration::from_secs(3);
            let drained = drain(bench.proxy.as_ref(), kernels, &leaving, limit).await.unwrap();
            assert_eq!(drained.open, Some(1), "{kind:?} {drained:?}");
            assert!(drained.waited >= limit, "{drained:?}");
        }
        assert_eq!(visitor.say("still here").await.unwrap(), "still here", "{kind:?}");
        drop(visitor);
        let leaving = [Leaving { address: old.address, inside: None }];
        let drained = drain(bench.proxy.as_ref(), kernels, &leaving, LIMIT).await.unwrap();
        assert_eq!(drained.open, Some(0), "{kind:?}");
        assert!(drained.waited < LIMIT, "nobody is waited for in vain: {drained:?}");
    }
}

#[tokio::test]
async fn a_switch_that_is_repeated_brings_no_old_one_back_and_one_that_fails_is_undone() {
    for kind in [Kind::Caddy, Kind::CaddyReloading, Kind::Traefik] {
        let Some(bench) = Bench::start(kind).await else { return };
        let (site, place) = (site(|_| {}), Local::default());
        let (old, new) = (Version::start("1").await, Version::start("2").await);
        let (proxy, executor) = (bench.proxy.as_ref(), &place);
        bench.proxy.set(&site, &[old.upstream()]).await.unwrap();
        let dead = free();
        let bad = Switch { proxy, executor, site: &site, old: &[old.address], new: &[dead] };
        let error = bad.prepare().await.unwrap_err();
        assert!(matches!(error, ProxyError::NotListening { .. }), "{error}");
        assert_eq!(proxy.route(&site.deployment).await.unwrap(), Some(vec![old.upstream()]), "not added");
        // Where it dies between the look and the switch, the old one serves again after the way back.
        bad.switch(LIMIT).await.unwrap();
        bad.undo(LIMIT).await.unwrap();
        assert_eq!(bench.version().await, "1");
        from_to(&bench, &site, &place, &old, &new).await;
        let (gone, served) = (old.address, new.address);
        old.kill().await;
        let again = Switch { proxy, executor, site: &site, old: &[gone], new: &[served] };
        assert_eq!(again.switch(LIMIT).await.unwrap(), Change::None, "{kind:?}");
        assert_eq!(bench.version().await, "2");
    }
}

#[tokio::test]
async fn a_new_one_that_the_proxy_cannot_reach_fails_nobody_while_the_old_one_is_beside_it() {
    // Documentation addresses lead nowhere: what is sent there is dropped, or refused by a gateway.
    let lost = Upstream::new(([192, 0, 2, 1], 80).into());
    for kind in [Kind::Caddy, Kind::CaddyReloading, Kind::Traefik] {
        let Some(bench) = Bench::start(kind).await else { return };
        let (site, old) = (site(|_| {}), Version::start("1").await);
        let both = [old.upstream(), lost];
        bench.proxy.set(&site, &both).await.unwrap();
        bench.proxy.ready(&site, &both, LIMIT).await.unwrap();
        for _ in 0..4 {
            assert_eq!(bench.version().await, "1", "{kind:?}");
        }
    }
}

fn print(kind: Kind, times: &mut Times) {
    times.switch.sort();
    times.drain.sort();
    let (switch, drain) = (&times.switch, &times.drain);
    println!(
        "{kind:?}: a switch takes {:?} (median; at most {:?}), its drain {:?} (at most {:?}), reset {}, idle closed {}, foreign WebSocket lives: {}",
        switch[switch.len() / 2],
        switch[switch.len() - 1],
        drain[drain.len() / 2],
        drain[drain.len() - 1],
        times.reset,
        times.again,
        times.foreign,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_caddy_fail_cut_and_reload_nothing() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
    assert_eq!((times.reset, times.again, times.foreign), (0, 0, true), "a switch touches nobody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_a_caddy_that_reloads_cut_nothing_that_is_open() {
    // What each reload does to connections that are only just made is printed, and told by `Proxy::look`.
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_through_traefik_fail_and_cut_nothing() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let mut times = switches(&bench).await;
    print(bench.kind, &mut times);
    assert_eq!((times.reset, times.again, times.foreign), (0, 0, true), "a switch touches nobody else");
}
