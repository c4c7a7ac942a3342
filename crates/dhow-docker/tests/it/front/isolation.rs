//! Networks of isolated sites, on an engine with real firewall rules.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{Isolation, ProxyKind, ProxySettings};
use dhow_core::port::{Command, Executor, Place, Target as _};
use dhow_testkit::engines::{self, Image, Server};

use super::harbor::{Known, Said, free, fronts, route, version};
use crate::compose::support::{Lab, Registry, Release};
use crate::executor::support::{remote, server};
use crate::proxy::socket::Visitor;

/// A deployment on the server.
async fn lab(server: &Server, isolation: Isolation, host: Option<&str>) -> Option<Lab> {
    let registry = Registry::start_at(server.gateway).await;
    let mut lab = Lab::on(server.docker.clone(), engines::parts()?, registry);
    let name: dhow_core::noun::ServerName = server.name.parse().unwrap();
    lab.options.socket = "/run/docker.sock".into();
    lab.options.docker_config = None;
    lab.settings.servers = vec![name.clone()];
    lab.settings.isolation = isolation;
    lab.settings.route = host.map(route);
    lab.place = Place::Server(name);
    Some(lab)
}

async fn deploy(lab: &Lab, release: &Release) {
    let (target, context) = (lab.target(), &release.0);
    let observed = target.observe(&context.rendered, &lab.place).await.unwrap();
    for step in target.plan(&context.rendered, &context.hash, &lab.place, &observed) {
        target.execute(&step, context).await.unwrap_or_else(|error| panic!("{}: {error}", step.summary));
    }
    target.verify(&context.rendered, &context.hash, &lab.place).await.unwrap();
    let again = target.observe(&context.rendered, &lab.place).await.unwrap();
    assert_eq!(
        target.plan(&context.rendered, &context.hash, &lab.place, &again),
        [],
        "nothing is left to do"
    );
}

/// The addresses of a service's container.
async fn addresses(lab: &Lab, service: &str) -> BTreeMap<String, String> {
    let id = lab.ids(service).await.remove(0);
    let format = "{{range $n, $v := .NetworkSettings.Networks}}{{$n}} {{$v.IPAddress}}\n{{end}}";
    let lines = lab.lines(&["inspect", "--format", format, &id]).await;
    let pairs = lines.iter().filter_map(|line| line.split_once(' '));
    pairs.map(|(network, address)| (network.to_owned(), address.to_owned())).collect()
}

/// Whether a service's container can connect.
async fn connects(lab: &Lab, service: &str, to: &str) -> bool {
    let id = lab.ids(service).await.remove(0);
    lab.docker(&["exec", &id, "/server", "connect", to]).await.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_cannot_reach_anothers_database_and_the_proxy_reaches_both_sites() {
    let (Some(at), Some(traefik)) = (server(0), engines::traefik()) else { return };
    let executor: Arc<dyn Executor> = Arc::new(remote(&at, "root"));
    let Some(mut edge) = lab(&at, Isolation::Proxy, None).await else { return };
    let front = SocketAddr::from((at.address, free()));
    let folder = format!("/srv/{}", edge.service);
    let settings = ProxySettings {
        kind: ProxyKind::Traefik,
        admin: None,
        folder: Some(folder.clone()),
        server: None,
        front: Some(front),
        drain: Duration::from_secs(2),
        service: Some("edge".parse().unwrap()),
        network: None,
    };
    let executors = Arc::new(Known([(edge.place.clone(), executor.clone())].into()));
    let routes = fronts(executors.clone(), settings);
    (edge.executors, edge.routes) = (executors.clone(), routes.clone());
    executor.run(&Command::new(["mkdir", "-p", &folder]), &()).await.unwrap();
    let image = Image::server(&edge.parts, "edge").file(traefik.program, "/traefik");
    let edge_pin = edge.push("web", "1", image).await;
    let file = format!(
        "services:\n  edge:\n    image: {}:1\n    entrypoint: [/traefik, \"--entrypoints.web.address=:80\", \
         \"--providers.file.directory={folder}\", \"--providers.file.watch=true\", \
         \"--providers.providersThrottleDuration=100ms\"]\n    ports: [\"{}:80\"]\n    volumes: [\"{folder}:{folder}:ro\"]\n",
        edge.repository("web"),
        front.port()
    );
    deploy(&edge, &edge.release(&[("compose.yaml", &file)], &edge_pin).await).await;
    let mut sites = Vec::new();
    for (host, tag) in [("a.localhost", "a"), ("b.localhost", "b")] {
        let Some(mut site) = lab(&at, Isolation::Site, Some(host)).await else { return };
        (site.executors, site.routes) = (executors.clone(), routes.clone());
        let pin = site.version(tag).await;
        let image = format!("{}:{tag}", site.repository("web"));
        let file = format!("services:\n  web:\n    image: {image}\n  db:\n    image: {image}\n");
        deploy(&site, &site.release(&[("compose.yaml", &file)], &pin).await).await;
        assert_eq!(version(front, host).await, tag, "the proxy reaches {host}");
        sites.push(site);
    }
    let [a, b] = &sites[..] else { panic!() };
    let database = addresses(b, "db").await;
    assert_eq!(database.len(), 1, "a database is in its site's network alone: {database:?}");
    assert!(connects(b, "web", "db:8080").await, "a site reaches its own database");
    for address in database.values() {
        let to = format!("{address}:8080");
        assert!(
            !connects(a, "web", &to).await && !connects(a, "db", &to).await,
            "{to} is another site's database"
        );
        assert!(!connects(&edge, "edge", &to).await, "the proxy reaches no database");
    }
    // The two that the proxy reaches do not reach each other, and no name leads from one to the other.
    for address in addresses(b, "web").await.values() {
        assert!(!connects(a, "web", &format!("{address}:8080")).await, "{address} is another site's");
    }
    // Both are in containers with networks of their own: what is open between them is seen all the same.
    let mut visitor = Visitor::connect(front, "a.localhost").await.unwrap();
    assert_eq!(visitor.upgrade().await.unwrap(), "a");
    let said = Arc::new(Said::default());
    let pin = a.version("a2").await;
    let file_of_a =
        format!("services:\n  web:\n    image: {0}:a2\n  db:\n    image: {0}:a2\n", a.repository("web"));
    let mut next = a.release(&[("compose.yaml", &file_of_a)], &pin).await;
    next.0.log = said.clone();
    deploy(a, &next).await;
    let said = said.0.lock().unwrap().clone();
    assert!(said.iter().any(|line| line.starts_with("1 connections were still open")), "{said:?}");
    let own = format!("dhow_site_{}", a.project());
    let both = addresses(a, "web").await;
    assert!(both.contains_key(&own) && both.len() == 2, "{both:?}");
    let members = async |network: &str| {
        a.lines(&["network", "inspect", network, "--format", "{{range .Containers}}{{.Name}}\n{{end}}"]).await
    };
    assert_eq!(
        members(&own).await.iter().filter(|name| !name.is_empty()).count(),
        2,
        "the site and the proxy"
    );
    // A proxy that is made anew meets all sites again.
    let other = file.replace("ports:", "environment: {ANEW: '1'}\n    ports:");
    deploy(&edge, &edge.release(&[("compose.yaml", &other)], &edge_pin).await).await;
    for (host, tag) in [("a.localhost", "a2"), ("b.localhost", "b")] {
        assert_eq!(version(front, host).await, tag, "the proxy reaches {host} again");
    }
    let outside = format!("{}_dhow_outside", edge.project());
    assert!(addresses(&edge, "edge").await.contains_key(&outside));
    let release = b.release(&[("compose.yaml", "services: {}")], &edge_pin).await;
    b.target().remove(&release.0.rendered.deployment, &b.place, 1).await.unwrap();
    let gone =
        b.lines(&["network", "ls", "-q", "--filter", &format!("name=dhow_site_{}", b.project())]).await;
    assert!(gone.is_empty(), "its network goes with a site");
    // A network that somebody else made keeps nobody apart.
    b.lines(&["network", "create", &format!("dhow_site_{}", b.project())]).await;
    let file = format!("services:\n  web:\n    image: {}:b\n", b.repository("web"));
    let again = b.release(&[("compose.yaml", &file)], &b.version("b").await).await;
    let target = b.target();
    let observed = target.observe(&again.0.rendered, &b.place).await.unwrap();
    let steps = target.plan(&again.0.rendered, &again.0.hash, &b.place, &observed);
    let error = target.execute(&steps[0], &again.0).await.unwrap_err().to_string();
    b.lines(&["network", "rm", &format!("dhow_site_{}", b.project())]).await;
    assert!(error.contains("was not made by Dhow") && error.contains("docker network rm"), "{error}");
}
