//! Deploys under a constant load: connections that are kept, requests of 5 s, WebSockets.
//!
//! Two deploys each in a test run; `DHOW_ROUNDS=20` for as many as there are to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use dhow_core::fleet::{ProxyKind, Strategy};
use dhow_core::noun::Pin;
use dhow_core::port::TargetError;
use dhow_docker::proxy::{self, Site, Upstream};
use dhow_testkit::rounds;

use super::harbor::{HOST, Harbor, route};
use crate::executor::support::server;
use crate::proxy::load::{Load, Seen};
use crate::proxy::socket::get;

/// How many deploys there are in a test.
fn deploys() -> usize {
    rounds(2)
}

async fn versions(harbor: &Harbor) -> [Pin; 2] {
    [harbor.lab.version("1").await, harbor.lab.version("2").await]
}

async fn under_load(harbor: &Harbor, more: &str) -> Arc<Seen> {
    let versions = versions(harbor).await;
    harbor.deploy(&harbor.release(more, &versions[0]).await).await.unwrap();
    assert_eq!(harbor.version().await, "1");
    let load = Load::start(harbor.front, HOST);
    // Every kind of visitor is there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 1..=deploys() {
        let (wanted, pin) = (["1", "2"][n % 2], &versions[n % 2]);
        let deployed = harbor.deploy(&harbor.release(more, pin).await).await.unwrap();
        println!("deploy {n}: serves after {:?}, whole {:?}", deployed.serves, deployed.whole);
        assert_eq!(harbor.version().await, wanted, "only the new one serves");
    }
    load.end().await
}

fn nothing_dropped(what: &str, seen: &Seen) {
    println!("{what}, {} deploys: {seen:?}", deploys());
    let bad = [&seen.failed, &seen.cut, &seen.reset].map(|count| count.load(SeqCst));
    assert_eq!(bad, [0, 0, 0], "{what}: {seen:?}");
    assert!(seen.answered.load(SeqCst) > 200 && seen.long.load(SeqCst) >= 2, "{what}: {seen:?}");
    assert!(seen.sockets.load(SeqCst) >= 2, "{what}: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_through_caddy_here_drop_nothing() {
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    nothing_dropped("Caddy, here", &*under_load(&harbor, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_through_traefik_here_drop_nothing() {
    let Some(harbor) = Harbor::start(ProxyKind::Traefik, None).await else { return };
    nothing_dropped("Traefik, here", &*under_load(&harbor, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_through_caddy_over_ssh_drop_nothing() {
    let Some(at) = server(0) else { return };
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, Some(at)).await else { return };
    nothing_dropped("Caddy, over SSH", &*under_load(&harbor, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_through_traefik_over_ssh_drop_nothing() {
    let Some(at) = server(1) else { return };
    let Some(harbor) = Harbor::start(ProxyKind::Traefik, Some(at)).await else { return };
    nothing_dropped("Traefik, over SSH", &*under_load(&harbor, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_recreate_the_gap_is_measured_and_told() {
    let Some(mut harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    harbor.lab.settings.strategy = Some(Strategy::Recreate);
    let seen = under_load(&harbor, "").await;
    let said = harbor.said.0.lock().unwrap().clone();
    let gaps: Vec<&String> =
        said.iter().filter(|line| line.starts_with("there was no service for")).collect();
    println!("recreate, {} deploys: {seen:?}; {gaps:?}", deploys());
    assert_eq!(gaps.len(), deploys(), "{said:?}");
    let next = harbor.release("", &harbor.lab.pin("web", "2", harbor.lab.registry.digest("web", "2"))).await;
    let observed =
        dhow_core::port::Target::observe(&*harbor.target, &next.0.rendered, &harbor.lab.place).await.unwrap();
    assert!(observed.body["current"]["gap_ms"].as_u64().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_recreated_says_503_and_when_to_come_again_until_it_is_back() {
    for kind in [ProxyKind::Caddy, ProxyKind::Traefik] {
        let Some(mut harbor) = Harbor::start(kind, None).await else { return };
        harbor.lab.settings.strategy = Some(Strategy::Recreate);
        let [one, two] = versions(&harbor).await;
        harbor.deploy(&harbor.release("", &one).await).await.unwrap();
        let next = harbor.release("    environment: {START_MS: '700'}\n", &two).await;
        let done = std::sync::atomic::AtomicBool::new(false);
        let visits = async {
            let mut away = 0;
            while !done.load(SeqCst) {
                let answer = get(harbor.front, HOST, "/version").await;
                match answer.status {
                    200 => {}
                    503 => {
                        assert!(answer.header("retry-after").is_some(), "{kind:?}: {answer:?}");
                        away += 1;
                    }
                    other => panic!("{kind:?}: a visitor got {other}: {answer:?}"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            away
        };
        let deploy = async {
            harbor.deploy(&next).await.unwrap();
            done.store(true, SeqCst);
        };
        let (away, ()) = tokio::join!(visits, deploy);
        assert!(away > 0, "{kind:?}: nobody was told that the site is worked on");
        assert_eq!(harbor.version().await, "2");
        let said = harbor.said.0.lock().unwrap().clone();
        let gap = said.iter().find_map(|line| {
            line.strip_prefix("there was no service for ")?.strip_suffix(" ms")?.parse::<u64>().ok()
        });
        println!("{kind:?}: {away} visitors were told to come again, the gap is {gap:?} ms");
        assert!(gap.is_some_and(|gap| gap >= 700), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo xtask bench docker"]
async fn the_same_load_with_compose_alone_is_printed_beside() {
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    versions(&harbor).await;
    let port = harbor.lab.port;
    let up = async |tag: &str| {
        let file = harbor.lab.compose("    stop_grace_period: 10s\n").replace(":1\n", &format!(":{tag}\n"));
        let path = harbor.lab.folder.path().join("compose.yaml");
        std::fs::write(&path, file).unwrap();
        let project = harbor.lab.project();
        harbor.lab.lines(&["compose", "-p", &project, "-f", path.to_str().unwrap(), "up", "-d"]).await;
    };
    up("1").await;
    let proxy = proxy::at(&harbor.settings, harbor.executor.clone());
    let site = Site::new("bare/compose/stage".parse().unwrap(), &route(HOST), &Default::default()).unwrap();
    let upstream = Upstream::new(SocketAddr::from(([127, 0, 0, 1], port)));
    proxy.set(&site, &[upstream]).await.unwrap();
    proxy.ready(&site, &[upstream], Duration::from_secs(10)).await.unwrap();
    let load = Load::start(harbor.front, HOST);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 1..=deploys() {
        let begun = Instant::now();
        up(["1", "2"][n % 2]).await;
        println!("docker compose up -d, {n}: {:?}", begun.elapsed());
    }
    println!("docker compose up -d alone, {} deploys: {:?}", deploys(), load.end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_is_refused_with_the_reason_where_the_rules_forbid_it() {
    let Some(mut harbor) = Harbor::start(ProxyKind::Traefik, None).await else { return };
    harbor.lab.settings.strategy = Some(Strategy::Beside);
    let port = format!("    ports: [\"127.0.0.1:{}:8080\"]\n", harbor.lab.port);
    let [one, two] = versions(&harbor).await;
    harbor.deploy(&harbor.release(&port, &one).await).await.unwrap();
    let refused = harbor.deploy(&harbor.release(&port, &two).await).await;
    let Err(TargetError::Blocked(told)) = refused else { panic!("{refused:?}") };
    assert!(
        told.contains("asks for strategy beside") && told.contains(&harbor.lab.port.to_string()),
        "{told}"
    );
    assert_eq!(harbor.version().await, "1", "what runs goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_new_version_never_gets_a_request() {
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    let [one, _] = versions(&harbor).await;
    let deployed = harbor.deploy(&harbor.release("", &one).await).await.unwrap();
    assert!(deployed.told.iter().all(|told| !told.contains("beside")), "{deployed:?}");
    let image = dhow_testkit::engines::Image::server(&harbor.lab.parts, "bad").env("CRASH", "start");
    let bad = harbor.lab.push("web", "bad", image).await;
    let error = harbor.deploy(&harbor.release("", &bad).await).await.unwrap_err();
    assert!(matches!(error, TargetError::Failed(_)), "{error}");
    assert_eq!(harbor.version().await, "1");
}
