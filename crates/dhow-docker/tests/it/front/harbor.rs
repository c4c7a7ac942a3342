//! A place with an engine and a proxy in front of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dhow_core::fleet::{AdminAddress, Front, ProxyKind, ProxySettings, Route, SecretReference, Tls};
use dhow_core::noun::Pin;
use dhow_core::port::{
    Command, Executor, ExecutorError, Executors, Lines, Phase, Place, Stream, Target, TargetError,
};
use dhow_docker::compose::{ComposeTarget, Routes as _};
use dhow_docker::front::{Fronts, FrontsConfig, Secrets};
use dhow_testkit::engines::{self, Image, Server};
use secrecy::SecretString;
use serde_json::json;

use crate::compose::support::{Lab, Registry, Release};
use crate::executor::support::{local, remote};
use crate::proxy::socket::Visitor;

pub const HOST: &str = "shop.localhost";

/// Places by what they are called.
pub struct Known(pub BTreeMap<Place, Arc<dyn Executor>>);

#[async_trait]
impl Executors for Known {
    async fn at(&self, place: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        let unknown = || ExecutorError::Refused(format!("there is no {place}"));
        self.0.get(place).cloned().ok_or_else(unknown)
    }
}

/// No route of the tests keeps a hash elsewhere.
pub struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn secret(&self, reference: &SecretReference, _: &str) -> Result<SecretString, String> {
        Err(format!("{reference} is not there"))
    }
}

/// What commands and steps said.
#[derive(Default)]
pub struct Said(pub Mutex<Vec<String>>);

impl Lines for Said {
    fn line(&self, _: Stream, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// One deployment behind one proxy.
pub struct Harbor {
    pub lab: Lab,
    pub executor: Arc<dyn Executor>,
    pub settings: ProxySettings,
    pub fronts: Arc<Fronts>,
    pub target: Arc<ComposeTarget>,
    /// Where visitors come in, from here.
    pub front: SocketAddr,
    pub said: Arc<Said>,
    proxy: String,
    image: String,
}

impl Harbor {
    /// Starts a proxy at this machine, or at a server.
    pub async fn start(kind: ProxyKind, server: Option<Server>) -> Option<Self> {
        let program = match kind {
            ProxyKind::Caddy => engines::caddy()?.program,
            ProxyKind::Traefik => engines::traefik()?.program,
        };
        let parts = engines::parts()?;
        engines::compose()?;
        let (mut lab, place, executor, ip) = match &server {
            None => {
                let lab = Lab::new().await?;
                let executor: Arc<dyn Executor> = Arc::new(local(&lab.folder.path().join("home")));
                (lab, Place::Local, executor, Ipv4Addr::LOCALHOST)
            }
            Some(server) => {
                let registry = Registry::start_at(server.gateway).await;
                let mut lab = Lab::on(server.docker.clone(), parts.clone(), registry);
                lab.options.socket = "/run/docker.sock".into();
                lab.options.docker_config = None;
                let name: dhow_core::noun::ServerName = server.name.parse().unwrap();
                lab.settings.servers = vec![name.clone()];
                let executor: Arc<dyn Executor> = Arc::new(remote(server, "root"));
                (lab, Place::Server(name), executor, server.address)
            }
        };
        let front = SocketAddr::from((ip, free()));
        let folder = match place {
            Place::Local => lab.folder.path().join("proxy").to_str().unwrap().to_owned(),
            Place::Server(_) => format!("/srv/{}", lab.service),
        };
        let settings = ProxySettings {
            kind,
            admin: Some(AdminAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, free())))),
            folder: Some(folder),
            server: None,
            front: Some(front),
            drain: Duration::from_secs(12),
            service: None,
            network: None,
        };
        let image = format!("{}-proxy:1", lab.service);
        let built = Image::server(&parts, "proxy").file(program, "/proxy");
        let (docker, name) = (lab.docker.clone(), image.clone());
        tokio::task::spawn_blocking(move || drop(built.build(&docker, &name))).await.unwrap();
        lab.place = place.clone();
        lab.executors = Arc::new(Known([(place.clone(), executor.clone())].into()));
        let fronts = fronts(lab.executors.clone(), settings.clone());
        lab.routes = fronts.clone();
        lab.settings.route = Some(route(HOST));
        let target = lab.target();
        let proxy = format!("{}-proxy", lab.service);
        let harbor =
            Self { lab, executor, settings, fronts, target, front, said: Arc::default(), proxy, image };
        harbor.run_proxy().await;
        Some(harbor)
    }

    fn folder(&self) -> &str {
        self.settings.folder.as_deref().unwrap()
    }

    /// Starts the proxy as somebody set it up, without any route of Dhow's.
    pub async fn run_proxy(&self) {
        let folder = self.folder();
        let made = self.executor.run(&Command::new(["mkdir", "-p", folder]), &()).await.unwrap();
        assert!(made.ok(), "{made:?}");
        let (mounted, listen) = (format!("{folder}:{folder}"), self.front.to_string());
        let mut create = vec!["create", "--name", &self.proxy, "--network", "host", "-v", &mounted];
        create.extend(["--entrypoint", "/proxy", &self.image]);
        let entry = format!("--entrypoints.web.address={listen}");
        let directory = format!("--providers.file.directory={folder}");
        match self.settings.kind {
            ProxyKind::Caddy => create.extend(["run", "--config", "/caddy.json"]),
            ProxyKind::Traefik => {
                create.extend([&*entry, &directory, "--providers.file.watch=true", "--log.level=ERROR"]);
                create.push("--providers.providersThrottleDuration=100ms");
            }
        }
        self.lab.lines(&create).await;
        if self.settings.kind == ProxyKind::Caddy {
            let web = json!({ "listen": [listen], "automatic_https": { "disable": true }, "routes": [{ "handle": [{ "handler": "static_response", "status_code": 404 }] }] });
            let admin = json!({ "listen": self.settings.admin.as_ref().unwrap().to_string() });
            let config = json!({ "admin": admin, "apps": { "http": { "servers": { "web": web } } } });
            let file = self.lab.folder.path().join("caddy.json");
            std::fs::write(&file, config.to_string()).unwrap();
            self.lab.lines(&["cp", file.to_str().unwrap(), &format!("{}:/caddy.json", self.proxy)]).await;
        }
        self.lab.lines(&["start", &self.proxy]).await;
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(self.front).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let log = self.lab.docker(&["logs", &self.proxy]).await;
        panic!("the proxy does not start: {}", String::from_utf8_lossy(&log.stderr));
    }

    /// Ends the proxy without a word; what it was told by its API is gone.
    pub async fn end_proxy(&self) {
        self.lab.lines(&["rm", "-f", &self.proxy]).await;
    }

    /// A Compose file with the routed service.
    pub fn file(&self, more: &str) -> String {
        format!(
            "services:\n  web:\n    image: {}:1\n    stop_grace_period: 1s\n{more}",
            self.lab.repository("web")
        )
    }

    pub async fn release(&self, more: &str, version: &Pin) -> Release {
        let mut release = self.lab.release(&[("compose.yaml", &self.file(more))], version).await;
        release.0.log = self.said.clone();
        release
    }

    /// As the engine does it; what it took until the new ones alone serve, and in all.
    pub async fn deploy(&self, release: &Release) -> Result<Deployed, TargetError> {
        let (context, place) = (&release.0, &self.lab.place);
        let begun = Instant::now();
        let observed = self.target.observe(&context.rendered, place).await?;
        let mut each = vec![("observe".to_owned(), begun.elapsed())];
        let steps = self.target.plan(&context.rendered, &context.hash, place, &observed);
        let mut serves = None;
        let mut told = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            if serves.is_none() && step.phase > Phase::Switching {
                serves = Some(begun.elapsed());
            }
            told.push(step.summary.clone());
            let started = Instant::now();
            let executed = self.target.execute(step, context).await;
            each.push((step.key.clone(), started.elapsed()));
            if let Err(error) = executed {
                for step in steps[..=number].iter().rev() {
                    self.target.undo(step, context).await.unwrap();
                }
                return Err(error);
            }
        }
        self.target.verify(&context.rendered, &context.hash, place).await?;
        let whole = begun.elapsed();
        Ok(Deployed { serves: serves.unwrap_or(whole), whole, told, each })
    }

    /// What a new visitor gets: the version, or the status.
    pub async fn version(&self) -> String {
        version(self.front, HOST).await
    }
}

impl Drop for Harbor {
    fn drop(&mut self) {
        let _ = self.lab.docker.command().args(["rm", "-f", &self.proxy]).output();
        let _ = self.lab.docker.command().args(["image", "rm", "-f", &self.image]).output();
    }
}

/// A deploy.
#[derive(Debug)]
pub struct Deployed {
    pub serves: Duration,
    pub whole: Duration,
    pub told: Vec<String>,
    pub each: Vec<(String, Duration)>,
}

/// The version that a front door gives, or the status.
pub async fn version(front: SocketAddr, host: &str) -> String {
    let answer =
        async { Visitor::connect(front, host).await?.get("/version", "Connection: close\r\n").await };
    match answer.await {
        Ok(answer) if answer.status == 200 => answer.body.trim().to_owned(),
        Ok(answer) => answer.status.to_string(),
        Err(error) => error.to_string(),
    }
}

pub fn route(host: &str) -> Route {
    Route {
        host: host.into(),
        service: Some("web".into()),
        port: Some(8080),
        tls: Tls::Off,
        ..Route::default()
    }
}

/// The same proxy in front of every place, at that place.
pub fn fronts(executors: Arc<dyn Executors>, settings: ProxySettings) -> Arc<Fronts> {
    fronts_by(executors, move || settings.clone())
}

/// The same; what it is is asked each time.
pub fn fronts_by(
    executors: Arc<dyn Executors>,
    settings: impl Fn() -> ProxySettings + Send + Sync + 'static,
) -> Arc<Fronts> {
    let fronts = Fronts::new(FrontsConfig {
        executors,
        fronts: Arc::new(move |place| {
            let (at, settings) = (place.clone(), settings());
            Some(Front { at, settings, address: None, shared: BTreeMap::new() })
        }),
        secrets: Arc::new(NoSecrets),
        epoch: Arc::new(|| Some(1)),
        ready: Duration::from_secs(20),
        pause: Duration::from_millis(300),
    });
    assert!(fronts.serves(&Place::Local));
    Arc::new(fronts)
}

pub fn free() -> u16 {
    dhow_testkit::free_port(Ipv4Addr::LOCALHOST)
}
