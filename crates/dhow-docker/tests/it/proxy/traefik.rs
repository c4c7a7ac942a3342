use std::collections::BTreeMap;
use std::time::Duration;

use dhow_core::fleet::{PasswordHash, Tls};
use dhow_docker::proxy::{Change, ProxyError, Upstream};

use super::bench::{Bench, FOREIGN, HOST, Kind, LIMIT, Version, free, names, site};
use super::socket::{get, get_with};

/// `secret`, as bcrypt has it.
const HASH: &str = "$2a$05$X6IrLqPYnZZ2S0h.7zY9P.UQ.c2azg25gEOQKwC841Yz/Myr22R/O";

#[tokio::test]
async fn a_route_is_one_file_and_every_call_may_be_repeated() {
    let Some(mut bench) = Bench::start(Kind::Traefik).await else { return };
    let (site, one, two) = (site(|_| {}), Version::start("1").await, Version::start("2").await);
    let folder = bench.folder.path().join("dynamic");
    let theirs = std::fs::read(folder.join("foreign.yaml")).unwrap();
    let mut both = [one.upstream(), Upstream { weight: 2, ..two.upstream() }];
    both.sort();
    assert_eq!(bench.proxy.route(&site.deployment).await.unwrap(), None);
    assert_eq!(bench.proxy.set(&site, &both).await.unwrap(), Change::Configuration);
    assert_eq!(bench.proxy.set(&site, &both).await.unwrap(), Change::None);
    bench.proxy.ready(&site, &both, LIMIT).await.unwrap();
    assert_eq!(bench.proxy.route(&site.deployment).await.unwrap(), Some(both.to_vec()));
    assert_eq!(bench.proxy.set(&site, &[two.upstream()]).await.unwrap(), Change::Addresses);
    let early = bench.proxy.ready(&site, &[two.upstream()], Duration::ZERO).await.unwrap_err();
    assert!(early.to_string().contains("does the provider watch it?"), "{early}");
    bench.proxy.ready(&site, &[two.upstream()], LIMIT).await.unwrap();
    assert_eq!(bench.version().await, "2");
    bench.kill().await;
    bench.run(false).await;
    assert_eq!(bench.version().await, "2", "a restart finds the route again");
    assert_eq!(names(&folder), ["dhow~shop~compose~stage.yaml", "foreign.yaml"]);
    assert_eq!(bench.proxy.remove(&site.deployment).await.unwrap(), Change::Configuration);
    assert_eq!(bench.proxy.remove(&site.deployment).await.unwrap(), Change::None);
    assert_eq!(names(&folder), ["foreign.yaml"]);
    assert_eq!(std::fs::read(folder.join("foreign.yaml")).unwrap(), theirs);
    assert_eq!(get(bench.front, FOREIGN, "/version").await.body, "foreign\n");
}

#[tokio::test]
async fn path_headers_passwords_and_redirects_are_what_the_route_says() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let site = site(|route| {
        route.path = Some("/version".into());
        route.redirect_from = vec!["old.localhost".into()];
        route.headers = BTreeMap::from([("X-Frame-Options".to_owned(), "DENY".to_owned())]);
        route.basic_auth = BTreeMap::from([("eve".to_owned(), PasswordHash::Bcrypt(HASH.into()))]);
    });
    let one = Version::start("1").await;
    bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
    bench.proxy.ready(&site, &[one.upstream()], LIMIT).await.unwrap();
    assert_eq!(get(bench.front, HOST, "/version").await.status, 401);
    let right = get_with(bench.front, HOST, "/version", "Authorization: Basic ZXZlOnNlY3JldA==\r\n").await;
    assert_eq!((right.status, right.body.as_str()), (200, "1\n"));
    assert_eq!(right.header("x-frame-options"), Some("DENY"));
    assert_eq!(get(bench.front, HOST, "/versions").await.status, 404, "another path is not ours");
    let moved = get(bench.front, "old.localhost", "/a?b=c").await;
    assert_eq!((moved.status, moved.header("location")), (301, Some("http://shop.localhost/a?b=c")));
}

#[tokio::test]
async fn a_site_with_tls_is_seen_over_https_and_plain_visitors_are_sent_there() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let (site, one) = (site(|route| route.tls = Tls::Auto), Version::start("1").await);
    bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
    bench.proxy.ready(&site, &[one.upstream()], LIMIT).await.unwrap();
    let moved = get(bench.front, HOST, "/a").await;
    let location = moved.header("location").unwrap_or_default();
    assert!(moved.status == 301 && location.starts_with("https://shop.localhost"), "{moved:?}");
}

#[tokio::test]
async fn while_nothing_is_healthy_visitors_get_an_error_and_ready_still_tells() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let site = site(|_| {});
    for (upstreams, status) in [(vec![], 503), (vec![Upstream::new(free())], 502)] {
        bench.proxy.set(&site, &upstreams).await.unwrap();
        bench.proxy.ready(&site, &upstreams, LIMIT).await.unwrap();
        assert_eq!(get(bench.front, HOST, "/").await.status, status);
    }
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_told_and_written_again() {
    let Some(bench) = Bench::start(Kind::Traefik).await else { return };
    let (site, one) = (site(|_| {}), Version::start("1").await);
    bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
    let file = bench.folder.path().join("dynamic/dhow~shop~compose~stage.yaml");
    std::fs::write(&file, "http: {}\n").unwrap();
    let error = bench.proxy.route(&site.deployment).await.unwrap_err();
    assert!(matches!(error, ProxyError::Unexpected(_)), "{error}");
    assert_eq!(bench.proxy.set(&site, &[one.upstream()]).await.unwrap(), Change::Configuration);
    bench.proxy.ready(&site, &[one.upstream()], LIMIT).await.unwrap();
    assert_eq!(bench.version().await, "1");
}
