//! Networks of isolated sites, on an engine with real firewall rules.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{Isolation, ProxyKind, ProxySettings};
use dhow_core::noun::Pin;
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

/// Traefik in a deployment of its own, which reads its routes from a folder of the server.
struct Edge {
    lab: Lab,
    pin: Pin,
    file: String,
    front: SocketAddr,
}

impl Edge {
    async fn start(at: &Server, program: PathBuf) -> Option<Self> {
        let executor: Arc<dyn Executor> = Arc::new(remote(at, "root"));
        let mut lab = lab(at, Isolation::Proxy, None).await?;
        let front = SocketAddr::from((at.address, free()));
        let folder = format!("/srv/{}", lab.service);
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
        let executors = Arc::new(Known([(lab.place.clone(), executor.clone())].into()));
        lab.routes = fronts(executors.clone(), settings);
        lab.executors = executors;
        executor.run(&Command::new(["mkdir", "-p", &folder]), &()).await.unwrap();
        let image = Image::server(&lab.parts, "edge").file(program, "/traefik");
        let pin = lab.push("web", "1", image).await;
        let file = format!(
            "services:\n  edge:\n    image: {}:1\n    entrypoint: [/traefik, \"--entrypoints.web.address=:80\", \
             \"--providers.file.directory={folder}\", \"--providers.file.watch=true\", \
             \"--providers.providersThrottleDuration=100ms\"]\n    ports: [\"{}:80\"]\n    volumes: [\"{folder}:{folder}:ro\"]\n",
            lab.repository("web"),
            front.port()
        );
        let edge = Self { lab, pin, file, front };
        edge.deploy(&edge.file).await;
        Some(edge)
    }

    async fn deploy(&self, file: &str) {
        deploy(&self.lab, &self.lab.release(&[("compose.yaml", file)], &self.pin).await).await;
    }

    /// An isolated site behind it, with a database.
    async fn site(&self, at: &Server, host: &str, tag: &str) -> Option<Lab> {
        let mut site = lab(at, Isolation::Site, Some(host)).await?;
        (site.executors, site.routes) = (self.lab.executors.clone(), self.lab.routes.clone());
        let release = with_database(&site, tag).await;
        deploy(&site, &release).await;
        assert_eq!(version(self.front, host).await, tag, "the proxy reaches {host}");
        Some(site)
    }
}

async fn with_database(site: &Lab, tag: &str) -> Release {
    let pin = site.version(tag).await;
    let image = format!("{}:{tag}", site.repository("web"));
    let file = format!("services:\n  web:\n    image: {image}\n  db:\n    image: {image}\n");
    site.release(&[("compose.yaml", &file)], &pin).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_cannot_reach_anothers_database_and_the_proxy_reaches_both_sites() {
    let (Some(at), Some(traefik)) = (server(0), engines::traefik()) else { return };
    let Some(edge) = Edge::start(&at, traefik.program).await else { return };
    let Some(a) = edge.site(&at, "a.localhost", "a").await else { return };
    let Some(b) = edge.site(&at, "b.localhost", "b").await else { return };
    nothing_leads_into(&b, &a, &edge).await;
    what_is_open_to_a_site_is_waited_for(&a, &edge).await;
    // A proxy that is made anew meets all sites again.
    edge.deploy(&edge.file.replace("ports:", "environment: {ANEW: '1'}\n    ports:")).await;
    for (host, tag) in [("a.localhost", "a2"), ("b.localhost", "b")] {
        assert_eq!(version(edge.front, host).await, tag, "the proxy reaches {host} again");
    }
    let outside = format!("{}_dhow_outside", edge.lab.project());
    assert!(addresses(&edge.lab, "edge").await.contains_key(&outside));
    let release = b.release(&[("compose.yaml", "services: {}")], &edge.pin).await;
    b.target().remove(&release.0.rendered.deployment, &b.place, 1).await.unwrap();
    let gone =
        b.lines(&["network", "ls", "-q", "--filter", &format!("name=dhow_site_{}", b.project())]).await;
    assert!(gone.is_empty(), "its network goes with a site");
    anothers_network_is_refused(&b).await;
}

/// Only a site's own containers reach its database, and only the proxy reaches its front as well.
async fn nothing_leads_into(site: &Lab, other: &Lab, edge: &Edge) {
    let database = addresses(site, "db").await;
    assert_eq!(database.len(), 1, "a database is in its site's network alone: {database:?}");
    assert!(connects(site, "web", "db:8080").await, "a site reaches its own database");
    for address in database.values() {
        let to = format!("{address}:8080");
        assert!(
            !connects(other, "web", &to).await && !connects(other, "db", &to).await,
            "{to} is another site's database"
        );
        assert!(!connects(&edge.lab, "edge", &to).await, "the proxy reaches no database");
    }
    // The two that the proxy reaches do not reach each other, and no name leads from one to the other.
    for address in addresses(site, "web").await.values() {
        assert!(!connects(other, "web", &format!("{address}:8080")).await, "{address} is another site's");
    }
}

/// Both are in containers with networks of their own: what is open between them is seen all the same.
async fn what_is_open_to_a_site_is_waited_for(site: &Lab, edge: &Edge) {
    let mut visitor = Visitor::connect(edge.front, "a.localhost").await.unwrap();
    assert_eq!(visitor.upgrade().await.unwrap(), "a");
    let said = Arc::new(Said::default());
    let mut next = with_database(site, "a2").await;
    next.0.log = said.clone();
    deploy(site, &next).await;
    let said = said.0.lock().unwrap().clone();
    assert!(said.iter().any(|line| line.starts_with("1 connections were still open")), "{said:?}");
    let own = format!("dhow_site_{}", site.project());
    let both = addresses(site, "web").await;
    assert!(both.contains_key(&own) && both.len() == 2, "{both:?}");
    let format = "{{range .Containers}}{{.Name}}\n{{end}}";
    let members = site.lines(&["network", "inspect", &own, "--format", format]).await;
    let members = members.iter().filter(|name| !name.is_empty()).count();
    assert_eq!(members, 2, "the site and the proxy");
}

/// A network that somebody else made keeps nobody apart.
async fn anothers_network_is_refused(site: &Lab) {
    let network = format!("dhow_site_{}", site.project());
    site.lines(&["network", "create", &network]).await;
    let file = format!("services:\n  web:\n    image: {}:b\n", site.repository("web"));
    let again = site.release(&[("compose.yaml", &file)], &site.version("b").await).await;
    let target = site.target();
    let observed = target.observe(&again.0.rendered, &site.place).await.unwrap();
    let steps = target.plan(&again.0.rendered, &again.0.hash, &site.place, &observed);
    let error = target.execute(&steps[0], &again.0).await.unwrap_err().to_string();
    site.lines(&["network", "rm", &network]).await;
    assert!(error.contains("was not made by Dhow") && error.contains("docker network rm"), "{error}");
}
