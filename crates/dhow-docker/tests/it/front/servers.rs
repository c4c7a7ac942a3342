//! Several servers behind the proxy of one machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{Front, ProxyKind};
use dhow_core::port::{Executor, Place, Target as _};
use dhow_docker::compose::Routes as _;
use dhow_docker::front::{Fronts, FrontsConfig};
use dhow_docker::proxy;
use dhow_testkit::engines::{self, Server};

use super::harbor::{HOST, Harbor, Known, NoSecrets, route};
use crate::compose::support::{Lab, Registry, Release};
use crate::executor::support::{remote, server};

fn place(server: &Server) -> Place {
    Place::Server(server.name.parse().unwrap())
}

async fn deploy(lab: &Lab, release: &Release, place: &Place) {
    let (target, context) = (lab.target(), &release.0);
    let observed = target.observe(&context.rendered, place).await.unwrap();
    for step in target.plan(&context.rendered, &context.hash, place, &observed) {
        target.execute(&step, context).await.unwrap_or_else(|error| panic!("{}: {error}", step.summary));
    }
    target.verify(&context.rendered, &context.hash, place).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_stand_behind_the_proxy_of_this_machine() {
    let (Some(one), Some(two)) = (server(0), server(1)) else { return };
    let Some(harbor) = Harbor::start(ProxyKind::Caddy, None).await else { return };
    let Some(parts) = engines::parts() else { return };
    // One registry that both reach; their engines are told apart by the place alone.
    let mut lab = Lab::on(one.docker.clone(), parts, Registry::start_at(one.gateway).await);
    let servers = [&one, &two];
    let shared: BTreeMap<Place, String> =
        servers.iter().map(|server| (place(server), server.address.to_string())).collect();
    let mut places: BTreeMap<Place, Arc<dyn Executor>> =
        BTreeMap::from([(Place::Local, harbor.executor.clone())]);
    for server in servers {
        places.insert(place(server), Arc::new(remote(server, "deploy")));
    }
    let executors = Arc::new(Known(places));
    let settings = harbor.settings.clone();
    let fronts = Arc::new(Fronts::new(FrontsConfig {
        executors: executors.clone(),
        fronts: Arc::new(move |place| {
            let address = shared.get(place).cloned();
            Some(Front { at: Place::Local, settings: settings.clone(), address, shared: shared.clone() })
        }),
        secrets: Arc::new(NoSecrets),
        epoch: Arc::new(|| Some(1)),
        ready: Duration::from_secs(20),
        pause: Duration::from_secs(3),
    }));
    (lab.executors, lab.routes) = (executors, fronts.clone());
    lab.options.socket = "/run/docker.sock".into();
    lab.options.docker_config = None;
    lab.settings.servers = servers.map(|server| server.name.parse().unwrap()).to_vec();
    lab.settings.route = Some(route(HOST));
    let (first, second) = (lab.version("1").await, lab.version("2").await);
    let file = format!("services:\n  web:\n    image: {}:1\n    ports: [\"8080\"]\n", lab.repository("web"));
    let proxy = proxy::at(&harbor.settings, harbor.executor.clone());
    let upstreams = async |release: &Release| {
        let found = proxy.route(&release.0.rendered.deployment).await.unwrap().unwrap_or_default();
        found.into_iter().map(|upstream| upstream.address.ip().to_string()).collect::<Vec<_>>()
    };
    let both = servers.map(|server| server.address.to_string());
    for pin in [&first, &second] {
        let release = lab.release(&[("compose.yaml", &file)], pin).await;
        for server in servers {
            deploy(&lab, &release, &place(server)).await;
        }
        assert_eq!(upstreams(&release).await, both, "each server has its part");
    }
    assert_eq!(harbor.version().await, "2");
    let release = lab.release(&[("compose.yaml", &file)], &second).await;
    let deployment = &release.0.rendered.deployment;
    lab.target().remove(deployment, &place(&one), 1).await.unwrap();
    assert_eq!(upstreams(&release).await, both[1..], "the other one still serves");
    assert_eq!(harbor.version().await, "2");
    lab.target().remove(deployment, &place(&two), 1).await.unwrap();
    assert_eq!(harbor.version().await, "404");
    assert!(fronts.serves(&place(&two)));
}
