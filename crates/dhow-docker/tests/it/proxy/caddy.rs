use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{AdminAddress, PasswordHash, ProxySettings, Tls};
use dhow_docker::proxy::{self, Change, ProxyError, Upstream, admit};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::bench::{Bench, FOREIGN, HOST, Kind, LIMIT, Version, ask, free, names, site};
use super::place::Local;
use super::socket::{Visitor, get, get_with};

const ROUTES: &str = "/config/apps/http/servers/web/routes";
/// `secret`, as bcrypt has it.
const HASH: &str = "$2a$05$X6IrLqPYnZZ2S0h.7zY9P.UQ.c2azg25gEOQKwC841Yz/Myr22R/O";

#[tokio::test]
async fn a_route_is_set_read_and_removed_and_every_call_may_be_repeated() {
    for kind in [Kind::Caddy, Kind::CaddyReloading, Kind::CaddySocket] {
        let Some(bench) = Bench::start(kind).await else { return };
        let (site, one, two) = (site(|_| {}), Version::start("1").await, Version::start("2").await);
        let (first, both) = ([one.upstream()], [one.upstream(), two.upstream()]);
        let proxy = bench.proxy.as_ref();
        assert_eq!(proxy.route(&site.deployment).await.unwrap(), None);
        assert_eq!(proxy.set(&site, &first).await.unwrap(), Change::Configuration);
        assert_eq!(proxy.set(&site, &first).await.unwrap(), Change::None, "{kind:?}");
        proxy.ready(&site, &first, LIMIT).await.unwrap();
        assert_eq!(bench.version().await, "1");
        let moved = proxy.set(&site, &both).await.unwrap();
        assert_eq!(moved == Change::Addresses, kind == Kind::Caddy);
        let mut sorted = both.to_vec();
        sorted.sort();
        assert_eq!(proxy.route(&site.deployment).await.unwrap(), Some(sorted), "{kind:?}");
        let wrong = proxy.ready(&site, &first, Duration::ZERO).await.unwrap_err();
        assert!(matches!(wrong, ProxyError::NotReady { .. }), "{wrong}");
        assert_eq!(proxy.remove(&site.deployment).await.unwrap(), Change::Configuration);
        assert_eq!(proxy.remove(&site.deployment).await.unwrap(), Change::None);
        assert_eq!(proxy.route(&site.deployment).await.unwrap(), None);
        assert_eq!(get(bench.front, HOST, "/").await.status, 404);
        if kind == Kind::Caddy {
            assert_eq!(names(&bench.folder.path().join("dynamic")), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn while_nothing_is_healthy_visitors_read_so() {
    for kind in [Kind::Caddy, Kind::CaddyReloading] {
        let Some(bench) = Bench::start(kind).await else { return };
        let site = site(|_| {});
        let dead = [Upstream::new(free())];
        for upstreams in [&[][..], &dead] {
            bench.proxy.set(&site, upstreams).await.unwrap();
            bench.proxy.ready(&site, upstreams, LIMIT).await.unwrap();
            let asked = std::time::Instant::now();
            let answer = get(bench.front, HOST, "/").await;
            let patience = if upstreams.is_empty() { 1 } else { 5 };
            assert!(asked.elapsed() < Duration::from_secs(patience), "{:?}", asked.elapsed());
            assert_eq!((answer.status, answer.body.as_str()), (503, site.maintenance.as_str()), "{kind:?}");
            assert_eq!(answer.header("retry-after"), Some("10"));
        }
        assert_eq!(bench.proxy.route(&site.deployment).await.unwrap(), Some(dead.to_vec()));
    }
}

#[tokio::test]
async fn path_headers_passwords_and_redirects_are_what_the_route_says() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
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
    let wrong = "Authorization: Basic ZXZlOndyb25n\r\n";
    assert_eq!(get_with(bench.front, HOST, "/version", wrong).await.status, 401);
    let right = get_with(bench.front, HOST, "/version", "Authorization: Basic ZXZlOnNlY3JldA==\r\n").await;
    assert_eq!((right.status, right.body.as_str()), (200, "1\n"));
    assert_eq!(right.header("x-frame-options"), Some("DENY"));
    assert_eq!(get(bench.front, HOST, "/versions").await.body, "nothing here", "another path is not ours");
    let moved = get(bench.front, "old.localhost", "/a?b=c").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("http://shop.localhost/a?b=c")));
}

#[tokio::test]
async fn what_somebody_else_set_up_stays_byte_for_byte() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
    let before: Vec<Value> = serde_json::from_str(&bench.caddy("GET", ROUTES, None).await).unwrap();
    let (site, one) = (site(|_| {}), Version::start("1").await);
    bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
    let routes: Vec<Value> = serde_json::from_str(&bench.caddy("GET", ROUTES, None).await).unwrap();
    let ids: Vec<&str> = routes.iter().map(|route| route["@id"].as_str().unwrap_or("")).collect();
    assert_eq!(ids, ["", "dhow~shop~compose~stage", ""], "before the route for everything");
    assert_eq!(
        [routes[0].to_string(), routes[2].to_string()],
        [before[0].to_string(), before[1].to_string()]
    );
    bench.proxy.remove(&site.deployment).await.unwrap();
    assert_eq!(bench.caddy("GET", ROUTES, None).await.trim(), json!(before).to_string());
    let taken = super::bench::site(|route| route.host = FOREIGN.into());
    let error = bench.proxy.set(&taken, &[one.upstream()]).await.unwrap_err();
    assert!(matches!(error, ProxyError::Taken { .. }), "{error}");
}

#[tokio::test]
async fn a_look_changes_nothing_and_tells_what_a_reload_does_to_others() {
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let before = bench.caddy("GET", "/config/", None).await;
    let notes = bench.proxy.look(&site(|_| {})).await.unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[1].contains("the WebSockets of 1 proxies in it that are not Dhow's"), "{notes:?}");
    let taken = bench.proxy.look(&site(|route| route.host = FOREIGN.into())).await.unwrap_err();
    assert!(matches!(taken, ProxyError::Taken { .. }), "{taken}");
    let unable = bench.proxy.look(&site(|route| route.tls = Tls::Resolver("le".into()))).await.unwrap_err();
    assert!(matches!(unable, ProxyError::Unable(_)) && !unable.may_pass(), "{unable}");
    assert_eq!(bench.caddy("GET", "/config/", None).await, before);
}

#[tokio::test]
async fn another_sites_sockets_outlive_reloads() {
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let (one, two) = (Version::start("1").await, Version::start("2").await);
    let mut other = site(|route| route.host = "other.localhost".into());
    other.deployment = "other/compose/stage".parse().unwrap();
    bench.proxy.set(&other, &[one.upstream()]).await.unwrap();
    let mut visitor = Visitor::connect(bench.front, "other.localhost").await.unwrap();
    visitor.upgrade().await.unwrap();
    let site = site(|_| {});
    for upstreams in [[one.upstream()], [two.upstream()], [one.upstream()]] {
        assert_eq!(bench.proxy.set(&site, &upstreams).await.unwrap(), Change::Configuration);
    }
    bench.proxy.remove(&site.deployment).await.unwrap();
    assert_eq!(visitor.say("still here").await.unwrap(), "still here");
    assert_eq!(bench.proxy.open(one.address).await.unwrap(), Some(1), "and is counted");
}

#[tokio::test]
async fn a_change_by_somebody_else_in_between_is_computed_again() {
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let Some(AdminAddress::Tcp(admin)) = bench.settings.admin else { panic!("no port") };
    let foreign = json!({ "match": [{ "host": ["late.localhost"] }], "handle": [{ "handler": "static_response", "body": "late" }] });
    let meddling = Arc::new(move || {
        let foreign = foreign.clone();
        async move {
            ask(admin, "PUT", &format!("{ROUTES}/0"), Some(&foreign)).await;
        }
        .boxed()
    });
    let proxy = proxy::at(&bench.settings, Arc::new(Local { meddling: Some(meddling), ..Local::default() }));
    let (site, one) = (site(|_| {}), Version::start("1").await);
    // Put in, changed, taken out: each time somebody else is faster, and all indices are other ones.
    proxy.set(&site, &[one.upstream()]).await.unwrap();
    assert_eq!(bench.version().await, "1");
    proxy.set(&site, &[]).await.unwrap();
    assert_eq!(get(bench.front, HOST, "/").await.status, 503);
    proxy.remove(&site.deployment).await.unwrap();
    let routes: Vec<Value> = serde_json::from_str(&bench.caddy("GET", ROUTES, None).await).unwrap();
    assert_eq!(routes.len(), 2 + 3, "{routes:#?}");
    assert_eq!(get(bench.front, "late.localhost", "/").await.body, "late");
    assert_eq!(get(bench.front, FOREIGN, "/version").await.body, "foreign\n");
}

#[tokio::test]
async fn a_restart_finds_the_routes_again_or_they_are_mended() {
    for kind in [Kind::Caddy, Kind::CaddyReloading] {
        let Some(mut bench) = Bench::start(kind).await else { return };
        let (site, one) = (site(|_| {}), Version::start("1").await);
        bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
        bench.kill().await;
        let gone = bench.proxy.set(&site, &[one.upstream()]).await.unwrap_err();
        let address = bench.settings.admin.clone().unwrap().to_string();
        assert!(matches!(gone, ProxyError::Gone { .. }) && gone.may_pass(), "{gone}");
        assert!(gone.to_string().contains(&format!("admin API at {address} does not answer")), "{gone}");
        bench.run(true).await;
        assert_eq!(bench.version().await, "1", "with --resume it has its routes");
        bench.kill().await;
        bench.run(false).await;
        assert_eq!(get(bench.front, HOST, "/version").await.status, 404);
        assert_eq!(bench.proxy.route(&site.deployment).await.unwrap(), None, "without, they are missed");
        assert!(bench.proxy.present().await.unwrap().is_empty());
        assert!(bench.proxy.lacks(&site, &[one.upstream()]).await.unwrap().is_some());
        let mended = bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
        assert_eq!(mended, Change::Configuration);
        bench.proxy.ready(&site, &[one.upstream()], LIMIT).await.unwrap();
        assert_eq!(bench.version().await, "1");
        assert_eq!(bench.proxy.lacks(&site, &[one.upstream()]).await.unwrap(), None);
        assert_eq!(bench.proxy.present().await.unwrap(), [proxy::route_name(&site.deployment)].into());
    }
}

#[tokio::test]
async fn a_new_upstream_that_takes_no_connection_is_not_added() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
    let (site, one) = (site(|_| {}), Version::start("1").await);
    bench.proxy.set(&site, &[one.upstream()]).await.unwrap();
    let dead = free();
    let error = admit(&Local::default(), &[one.address, dead]).await.unwrap_err();
    assert!(error.to_string().contains(&format!("{dead} takes no connection")), "{error}");
    // One that dies after it was let in takes no visitor with it.
    let two = Version::start("2").await;
    let both = [one.upstream(), two.upstream()];
    bench.proxy.set(&site, &both).await.unwrap();
    two.kill().await;
    for _ in 0..20 {
        assert_eq!(bench.version().await, "1");
    }
}

#[tokio::test]
async fn a_folder_that_caddy_does_not_see_is_told() {
    let Some(bench) = Bench::start(Kind::Caddy).await else { return };
    let elsewhere = Some(bench.folder.path().join("elsewhere"));
    let proxy = proxy::at(&bench.settings, Arc::new(Local { elsewhere, ..Local::default() }));
    let (site, one) = (site(|_| {}), Version::start("1").await);
    proxy.set(&site, &[one.upstream()]).await.unwrap();
    let error = proxy.ready(&site, &[one.upstream()], Duration::from_millis(200)).await.unwrap_err();
    assert!(
        error.to_string().contains("answers 503") && error.to_string().contains("can Caddy read /"),
        "{error}"
    );
}

#[tokio::test]
async fn a_site_with_tls_is_seen_over_https() {
    let Some(mut bench) = Bench::start(Kind::Caddy).await else { return };
    bench.kill().await;
    let file = bench.folder.path().join("caddy.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let front = free();
    config["apps"]["http"]["http_port"] = json!(free().port());
    config["apps"]["http"]["https_port"] = json!(front.port());
    config["apps"]["http"]["servers"]["secure"] = json!({ "listen": [front.to_string()] });
    config["apps"]["pki"] = json!({ "certificate_authorities": { "local": { "install_trust": false } } });
    std::fs::write(file, config.to_string()).unwrap();
    bench.run(false).await;
    let settings = ProxySettings { server: Some("secure".into()), front: None, ..bench.settings.clone() };
    let proxy = proxy::at(&settings, Arc::new(Local::default()));
    let (site, one) = (site(|route| route.tls = Tls::Auto), Version::start("1").await);
    proxy.set(&site, &[one.upstream()]).await.unwrap();
    assert_eq!(proxy.front(&site).await.unwrap(), front);
    proxy.ready(&site, &[one.upstream()], LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_caddy_without_any_route_server_or_configuration_gets_what_is_missing() {
    let Some(bench) = Bench::start(Kind::CaddyReloading).await else { return };
    let settings = ProxySettings { server: Some("web".into()), ..bench.settings.clone() };
    let proxy = proxy::at(&settings, Arc::new(Local::default()));
    let (site, one) = (site(|route| route.host = FOREIGN.into()), Version::start("1").await);
    bench.caddy("DELETE", ROUTES, None).await;
    proxy.set(&site, &[one.upstream()]).await.unwrap();
    assert_eq!(get(bench.front, FOREIGN, "/version").await.body, "1\n");
    for missing in
        ["/config/apps/http/servers/web", "/config/apps/http/servers", "/config/apps/http", "/config/apps"]
    {
        bench.caddy("DELETE", missing, None).await;
        assert_eq!(proxy.set(&site, &[one.upstream()]).await.unwrap(), Change::Configuration, "{missing}");
        assert_eq!(proxy.route(&site.deployment).await.unwrap(), Some(vec![one.upstream()]), "{missing}");
    }
}
