//! Routes that change although no container does, and routes that were lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dhow_core::fleet::ProxyKind;
use dhow_core::port::Target as _;

use super::harbor::{HOST, Harbor, fronts_by, version};
use crate::proxy::socket::get;

/// Within seconds.
async fn soon(harbor: &Harbor, host: &str, wanted: &str) {
    let mut seen = String::new();
    for _ in 0..100 {
        seen = version(harbor.front, host).await;
        if seen == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{host} is {seen}, not {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_follows_its_settings_though_no_container_changes_and_goes_with_its_deployment() {
    for kind in [ProxyKind::Caddy, ProxyKind::Traefik] {
        let Some(mut harbor) = Harbor::start(kind, None).await else { return };
        let one = harbor.lab.version("1").await;
        let first = harbor.release("", &one).await;
        harbor.deploy(&first).await.unwrap();
        assert_eq!(harbor.version().await, "1", "the first deploy writes the route");
        let container = harbor.lab.ids("web").await;
        let headers = &mut harbor.lab.settings.route.as_mut().unwrap().headers;
        headers.insert("X-Told".to_owned(), "yes".to_owned());
        let second = harbor.release("", &one).await;
        assert_ne!(first.0.hash, second.0.hash);
        let deployed = harbor.deploy(&second).await.unwrap();
        assert!(deployed.told.iter().any(|told| told.contains("set the route of")), "{deployed:?}");
        assert_eq!(get(harbor.front, HOST, "/version").await.header("x-told"), Some("yes"), "{kind:?}");
        assert_eq!(harbor.lab.ids("web").await, container);
        assert!(harbor.deploy(&second).await.unwrap().told.is_empty(), "nothing is left to do");
        harbor.lab.settings.route = None;
        let third = harbor.release("", &one).await;
        harbor.deploy(&third).await.unwrap();
        // Traefik reads its folder in its own time.
        soon(&harbor, HOST, "404").await;
        assert_eq!(harbor.lab.ids("web").await, container);
        harbor.deploy(&second).await.unwrap();
        assert_eq!(harbor.version().await, "1");
        harbor.target.remove(&second.0.rendered.deployment, &harbor.lab.place, 1).await.unwrap();
        soon(&harbor, HOST, "404").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_lost_its_routes_gets_them_again_within_seconds() {
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    let one = harbor.lab.version("1").await;
    let release = harbor.release("", &one).await;
    harbor.deploy(&release).await.unwrap();
    harbor.end_proxy().await;
    harbor.run_proxy().await;
    soon(&harbor, HOST, "1").await;
    // A container that comes back with another address is found by the next look at it.
    let id = harbor.lab.ids("web").await.remove(0);
    harbor.lab.lines(&["stop", "-t", "1", &id]).await;
    assert_eq!(harbor.version().await, "503", "a page while nothing is healthy");
    let network = format!("{}_default", harbor.lab.project());
    let other = format!("{}-other", harbor.lab.service);
    let image = format!("{}:1", harbor.lab.repository("web"));
    harbor.lab.lines(&["run", "-d", "--name", &other, "--network", &network, &image]).await;
    harbor.lab.lines(&["start", &id]).await;
    harbor.target.verify(&release.0.rendered, &release.0.hash, &harbor.lab.place).await.unwrap();
    soon(&harbor, HOST, "1").await;
    harbor.lab.lines(&["rm", "-f", &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_taken_over_changes_no_route() {
    let Some(harbor) = Harbor::start(ProxyKind::Traefik, None).await else { return };
    let one = harbor.lab.version("1").await;
    let mut release = harbor.release("", &one).await;
    release.0.epoch = 7;
    harbor.deploy(&release).await.unwrap();
    let (deployment, place) = (&release.0.rendered.deployment, &harbor.lab.place);
    let end = dhow_docker::compose::RouteEnd {
        deployment: deployment.clone(),
        place: place.clone(),
        places: Vec::new(),
        proxy: None,
        epoch: 6,
    };
    let error = dhow_docker::compose::Routes::remove(&*harbor.fronts, &end).await.unwrap_err();
    assert!(matches!(error, dhow_core::port::TargetError::Fenced { seen: 7, ours: 6 }), "{error}");
    assert_eq!(harbor.version().await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_the_fleet_names_no_more_loses_the_route_once_the_new_one_serves() {
    let Some(mut harbor) = Harbor::start(ProxyKind::Traefik, None).await else { return };
    let Some(other) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    let named = Arc::new(Mutex::new(harbor.settings.clone()));
    let now = Arc::clone(&named);
    harbor.lab.routes = fronts_by(harbor.lab.executors.clone(), move || now.lock().unwrap().clone());
    harbor.target = harbor.lab.target();
    let one = harbor.lab.version("1").await;
    let release = harbor.release("", &one).await;
    harbor.deploy(&release).await.unwrap();
    assert_eq!(harbor.version().await, "1");
    let container = harbor.lab.ids("web").await;
    *named.lock().unwrap() = other.settings.clone();
    let deployed = harbor.deploy(&release).await.unwrap();
    assert!(deployed.told.iter().any(|told| told.contains("set the route of")), "{deployed:?}");
    assert_eq!(version(other.front, HOST).await, "1", "the new one serves");
    soon(&harbor, HOST, "404").await;
    assert_eq!(harbor.lab.ids("web").await, container);
    assert!(harbor.deploy(&release).await.unwrap().told.is_empty(), "nothing is left to do");
    harbor.target.remove(&release.0.rendered.deployment, &harbor.lab.place, 1).await.unwrap();
    assert_eq!(version(other.front, HOST).await, "404");
}
