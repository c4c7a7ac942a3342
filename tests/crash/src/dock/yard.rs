//! A service of one image, and the engines that it runs on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use dhow_testkit::engines::{self, Compose, Docker, Image, Parts, Server};
use dhow_testkit::free_port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::Dock;
use super::proxy::{Kind, Proxy};
use crate::world::{Harbor, Rig, World};

/// The service's port on servers.
const PORT: u16 = 18_990;
/// What visitors of a proxy ask for.
const HOST: &str = "crash.localhost";

/// A service, and where it runs.
pub struct Yard {
    dock: Dock,
    docker: Docker,
    compose: Compose,
    parts: Parts,
    registry: SocketAddr,
    name: String,
    servers: Vec<Server>,
    /// The engines that it runs on, and where it answers.
    runs: Vec<(Docker, SocketAddr)>,
    proxy: Option<Proxy>,
    login: tempfile::TempDir,
}

impl Yard {
    /// None: the engines are not up, and that was said.
    ///
    /// # Errors
    /// There is no free port or folder, or the proxy cannot be started.
    pub fn at(dock: Dock) -> Result<Option<Self>> {
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let free = || SocketAddr::new(here, free_port(here));
        let proxy = match dock {
            Dock::Caddy => Some(Proxy::start(Kind::Caddy, free(), free())?),
            Dock::Traefik => Some(Proxy::start(Kind::Traefik, free(), free())?),
            _ => None,
        };
        Ok(match proxy {
            Some(None) => None,
            Some(proxy) => Self::with(dock, proxy),
            None => Self::with(dock, None),
        })
    }

    fn with(dock: Dock, proxy: Option<Proxy>) -> Option<Self> {
        let (docker, compose, parts) = (engines::docker()?, engines::compose()?, engines::parts()?);
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (gateway, servers, runs) = match dock {
            Dock::Compose | Dock::Caddy | Dock::Traefik => {
                let published = || SocketAddr::new(here, free_port(here));
                let at = proxy.as_ref().map_or_else(published, |proxy| proxy.front);
                (here, Vec::new(), vec![(docker.clone(), at)])
            }
            Dock::Servers => {
                let servers = engines::servers()?;
                let runs = servers.iter().map(|s| (s.docker.clone(), SocketAddr::from((s.address, PORT))));
                (servers[0].gateway.into(), servers.clone(), runs.collect())
            }
            Dock::Swarm => {
                let swarm = engines::swarm()?;
                let runs = vec![(swarm.docker.clone(), SocketAddr::from((swarm.address, PORT)))];
                (swarm.ssh.gateway.into(), vec![swarm.ssh], runs)
            }
        };
        let registry = SocketAddr::new(gateway, free_port(gateway));
        let name = format!("crash{}", std::process::id());
        let login = tempfile::tempdir().ok()?;
        Some(Self { dock, docker, compose, parts, registry, name, servers, runs, proxy, login })
    }

    /// Waits until the proxy listens, where there is one.
    ///
    /// # Errors
    /// It never does.
    pub async fn listens(&self, patience: Duration) -> Result<()> {
        match &self.proxy {
            Some(proxy) => proxy.listens(patience).await,
            None => Ok(()),
        }
    }

    /// The fleet, with the plugins that its commands need.
    pub async fn harbor(&self) -> Result<Harbor> {
        let Self { registry, name, .. } = self;
        let mut root = "environments:\n  stage: { update: commit }\n".to_owned();
        root.extend(self.proxy.iter().map(Proxy::line));
        if !self.servers.is_empty() {
            root.push_str("servers:\n");
        }
        for Server { name, address, port, fingerprint, .. } in &self.servers {
            root += &format!(
                "  {name}: {{ ssh: \"deploy@{address}:{port}\", identity: key, fingerprint: \"{fingerprint}\", environments: [stage] }}\n"
            );
        }
        let service = format!(
            "artifacts:\n  web: {{ image: \"{registry}/{name}/web\", policy: {{ semver: \"*\" }} }}\n"
        );
        let at = self.runs[0].1;
        let image =
            format!("services:\n  web:\n    image: {registry}/{name}/web\n    stop_grace_period: 1s\n");
        let (path, text) = match self.dock {
            Dock::Compose => ("compose/stage/compose.yaml", format!("{image}    ports: [\"{at}:8080\"]\n")),
            Dock::Caddy | Dock::Traefik => ("compose/stage/compose.yaml", image),
            Dock::Servers => {
                ("compose/stage/compose.yaml", format!("{image}    ports: [\"{}:8080\"]\n", at.port()))
            }
            Dock::Swarm => (
                "swarm/stage/web-stack.yaml",
                format!(
                    "{image}    ports:\n      - {{ target: 8080, published: {}, mode: host }}\n    deploy:\n      \
                     restart_policy: {{ condition: any, delay: 500ms }}\n",
                    at.port()
                ),
            ),
        };
        let mut files = vec![
            ("dhow.yaml".to_owned(), root),
            (format!("services/{name}/dhow.yaml"), service),
            (format!("services/{name}/{path}"), text),
        ];
        if self.proxy.is_some() {
            let route = format!("route: {{ host: {HOST}, service: web, port: 8080, tls: off }}\n");
            files.push((format!("services/{name}/compose/stage/dhow.yaml"), route));
        }
        let harbor = Harbor::with(&files).await?;
        let plugins = harbor.path().join("home/.docker/cli-plugins");
        std::fs::create_dir_all(&plugins)?;
        std::os::unix::fs::symlink(&self.compose.plugin, plugins.join("docker-compose"))?;
        Ok(harbor)
    }

    /// A process that is quick to judge, and reached by the engines.
    pub fn rig(&self) -> Rig {
        let mut config = "docker: { stable: 500ms, start: 20s }\n".to_owned();
        if let Some(first) = self.servers.first() {
            let hosts: Vec<String> = self.servers.iter().map(|server| server.address.to_string()).collect();
            let key = first.identity.display();
            config += &format!("identities: {{ key: {{ file: {key}, hosts: [{}] }} }}\n", hosts.join(", "));
        }
        let listen = Some(self.registry.to_string());
        Rig { config, listen, environment: vec![("DOCKER_HOST".into(), self.docker.host.clone())] }
    }

    /// Publishes a version, and waits until it runs everywhere, and nothing else does.
    pub async fn carry(&self, world: &World, version: &str) -> Result<()> {
        let image = format!("{}/{}/web:{version}", self.registry, self.name);
        let (docker, what, built) = (self.docker.clone(), Image::server(&self.parts, version), image.clone());
        tokio::task::spawn_blocking(move || what.build(&docker, &built)).await?;
        self.push(world, &image).await?;
        world.reaches(&self.name, "stage", version).await?;
        for (docker, at) in &self.runs {
            let serves = get(*at, "/version").await;
            ensure!(serves.trim() == version, "{at} serves {serves:?} in place of {version}");
            let label = match self.dock {
                Dock::Swarm => format!("label=com.docker.stack.namespace=stage_{}", self.name),
                _ => format!("label=com.docker.compose.project=stage_{}", self.name),
            };
            let running = self.docker(docker, &["ps", "--quiet", "--filter", &label]).await?;
            let count = running.lines().count();
            ensure!(count == 1, "{count} containers run at {at} in place of one");
        }
        Ok(())
    }

    /// As a build server does, again where the connection broke.
    async fn push(&self, world: &World, image: &str) -> Result<()> {
        let mut last = String::new();
        for _ in 0..20 {
            world.keeper.door(world.lab.patience).await?;
            let registry = self.registry.to_string();
            let mut login = Command::from(self.docker.command());
            login.args(["login", "--username", "ci", "--password", &world.admin()?, &registry]);
            let mut push = Command::from(self.docker.command());
            push.args(["push", "--quiet", image]);
            let mut done = true;
            for mut command in [login, push] {
                command.env("DOCKER_CONFIG", self.login.path()).stdin(Stdio::null());
                let output = command.output().await?;
                done &= output.status.success();
                last.push_str(&String::from_utf8_lossy(&output.stderr));
            }
            if done {
                return Ok(());
            }
        }
        anyhow::bail!("{image} cannot be pushed: {last}")
    }

    async fn docker(&self, engine: &Docker, arguments: &[&str]) -> Result<String> {
        let output = Command::from(engine.command()).args(arguments).output().await?;
        ensure!(output.status.success(), "docker: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Yard {
    /// Nothing of it stays on the engines.
    fn drop(&mut self) {
        let stack = format!("name=stage_{}", self.name);
        let project = format!("label=com.docker.compose.project=stage_{}", self.name);
        let images = format!("reference={}/{}/web", self.registry, self.name);
        let engines = self.runs.iter().map(|(docker, _)| docker).chain([&self.docker]);
        for engine in engines {
            clear(engine, &["service", "ls"], &stack, &["service", "rm"]);
            clear(engine, &["ps", "--all"], &project, &["rm", "--force", "--volumes"]);
            clear(engine, &["network", "ls"], &project, &["network", "rm"]);
            clear(engine, &["images"], &images, &["rmi", "--force"]);
        }
    }
}

fn clear(engine: &Docker, list: &[&str], filter: &str, remove: &[&str]) {
    let found = engine.command().args(list).args(["--quiet", "--filter", filter]).output();
    let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let ids: std::collections::BTreeSet<&str> = found.split_whitespace().collect();
    if !ids.is_empty() {
        drop(engine.command().args(remove).args(ids).output());
    }
}

/// The body of an answer; empty where nothing answers.
async fn get(address: SocketAddr, path: &str) -> String {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = answer.await.unwrap_or_default();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
