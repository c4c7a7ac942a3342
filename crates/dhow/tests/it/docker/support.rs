//! A fleet whose images are in the embedded registry, and an engine that pulls them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use dhow_testkit::engines::{self, Docker, Image, Parts, Server, Swarm};
use dhow_testkit::free_port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::fleet::Fleet;
use crate::support::process::{run, run_with};
use crate::support::serve::{Serve, Start};

/// A fleet, and the engine where its images are built.
pub struct Yard {
    pub fleet: Fleet,
    pub docker: Docker,
    pub parts: Parts,
    /// Where the API and the registry listen: part of every reference.
    pub registry: SocketAddr,
    /// The service: projects of tests that run beside each other must not be called the same.
    pub name: String,
    /// The engines that it runs on.
    pub engines: Vec<Docker>,
    login: tempfile::TempDir,
}

impl Yard {
    /// A registry on this machine's own address; none: the engines are not up, and that was said.
    pub async fn here() -> Option<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// A registry that the servers reach, and the servers.
    pub async fn with_servers() -> Option<(Self, Vec<Server>)> {
        let servers = engines::servers()?;
        let mut yard = Self::at(servers[0].gateway.into()).await?;
        yard.engines.extend(servers.iter().map(|server| server.docker.clone()));
        Some((yard, servers))
    }

    /// A registry that the manager of a swarm reaches, and the swarm.
    pub async fn with_swarm() -> Option<(Self, Swarm)> {
        let swarm = engines::swarm()?;
        let mut yard = Self::at(swarm.ssh.gateway.into()).await?;
        yard.engines.push(swarm.docker.clone());
        Some((yard, swarm))
    }

    async fn at(address: IpAddr) -> Option<Self> {
        let (docker, compose, parts) = (engines::docker()?, engines::compose()?, engines::parts()?);
        let fleet = Fleet::empty().await;
        let plugins = fleet.home().join(".docker/cli-plugins");
        std::fs::create_dir_all(&plugins).unwrap();
        std::os::unix::fs::symlink(&compose.plugin, plugins.join("docker-compose")).unwrap();
        let registry = SocketAddr::new(address, free_port(address));
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("shop{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let engines = vec![docker.clone()];
        Some(Self { fleet, docker, parts, registry, name, engines, login: tempfile::tempdir().unwrap() })
    }

    /// The file of a service with the image `web`.
    pub fn service(&self, more: &str) -> (String, String) {
        let Self { registry, name, .. } = self;
        let text = format!(
            "artifacts:\n  web: {{ image: \"{registry}/{name}/web\", policy: {{ semver: \"*\" }} }}\n{more}"
        );
        (format!("services/{name}/dhow.yaml"), text)
    }

    /// A `serve` on this fleet, quick to judge.
    pub fn serve(&self) -> Start<'_> {
        let start = self.fleet.serve().listen(self.registry);
        start.config("docker: { stable: 500ms, start: 20s }\n").env("DOCKER_HOST", self.docker.host.as_str())
    }

    /// Builds an image and pushes it into the embedded registry, as a build server does.
    pub async fn push(&self, serve: &Serve, image: Image, tag: &str) {
        let name = format!("{}/{}/web:{tag}", self.registry, self.name);
        let docker = self.docker.clone();
        let built = name.clone();
        tokio::task::spawn_blocking(move || image.build(&docker, &built)).await.unwrap();
        let command = |arguments: &[&str]| {
            let mut command = tokio::process::Command::from(self.docker.command());
            command.env("DOCKER_CONFIG", self.login.path()).args(arguments).stdin(Stdio::null());
            command
        };
        let registry = self.registry.to_string();
        let login = command(&["login", "--username", "ci", "--password-stdin", &registry]);
        run_with(login, &serve.admin()).await.ok();
        run(command(&["push", "--quiet", &name])).await.ok();
    }

    /// The test server as a version.
    pub fn version(&self, version: &str) -> Image {
        Image::server(&self.parts, version)
    }

    /// The filter for what belongs to it in an environment.
    pub fn of(&self, environment: &str) -> String {
        format!("label=com.docker.compose.project={environment}_{}", self.name)
    }

    /// What `docker` on this machine's engine says.
    pub async fn docker(&self, arguments: &[&str]) -> String {
        docker(&self.docker, arguments).await
    }
}

impl Drop for Yard {
    /// Nothing of it stays on the engines.
    fn drop(&mut self) {
        let images = format!("reference=*/{}/web", self.name);
        for engine in &self.engines {
            for environment in ["stage", "production"] {
                let of = self.of(environment);
                let stack = format!("name={environment}_{}", self.name);
                clear(engine, &["service", "ls"], &stack, &["service", "rm"]);
                clear(engine, &["ps", "--all"], &of, &["rm", "--force", "--volumes"]);
                clear(engine, &["volume", "ls"], &of, &["volume", "rm"]);
                clear(engine, &["network", "ls"], &of, &["network", "rm"]);
            }
            clear(engine, &["images"], &images, &["rmi", "--force"]);
        }
    }
}

/// Removes all that a list gives.
fn clear(engine: &Docker, list: &[&str], filter: &str, remove: &[&str]) {
    let found = engine.command().args(list).args(["--quiet", "--filter", filter]).output();
    let found = found.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let ids: BTreeSet<&str> = found.split_whitespace().collect();
    if !ids.is_empty() {
        drop(engine.command().args(remove).args(ids).output());
    }
}

/// What `docker` on an engine says.
pub async fn docker(engine: &Docker, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::from(engine.command());
    command.args(arguments);
    run(command).await.ok().stdout
}

/// The body of an answer; empty where nothing answers.
pub async fn get(address: SocketAddr, path: &str) -> String {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = answer.await.unwrap_or_default();
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
