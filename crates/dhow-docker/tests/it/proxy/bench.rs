//! A proxy, started for one test, and sites behind it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::{AdminAddress, ProxyKind, ProxySettings, Route, Tls};
use dhow_docker::proxy::{self, Proxy, Site, Upstream};
use dhow_testkit::engines;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::sleep;

use super::place::Local;
use super::socket::{Visitor, get};

pub const HOST: &str = "shop.localhost";
/// A site that somebody else put behind the proxy.
pub const FOREIGN: &str = "foreign.localhost";
pub const LIMIT: Duration = Duration::from_secs(20);

/// A version of a site, alive.
pub struct Version {
    pub address: SocketAddr,
    process: Child,
    /// Kept, so that what it says goes somewhere.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Version {
    pub async fn start(name: &str) -> Self {
        let parts = engines::parts().unwrap();
        let mut process = Command::new(parts.program)
            .env_clear()
            .envs([("VERSION", name), ("PORT", "0")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // It says which port it was given: one that was free a moment ago may be another's by now.
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = said.next_line().await.unwrap().expect("the version ended before it listened");
            if let Some(port) = line.strip_prefix("listening on ") {
                break port.parse::<u16>().unwrap();
            }
        };
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), process, _said: said }
    }

    /// Without a word, as the end of a drain time is.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    pub fn upstream(&self) -> Upstream {
        Upstream::new(self.address)
    }
}

/// Which proxy, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses in files.
    Caddy,
    /// Addresses in the configuration: each switch is a reload.
    CaddyReloading,
    /// By a unix socket, without a file.
    CaddySocket,
    Traefik,
}

/// The proxy of one test.
pub struct Bench {
    pub kind: Kind,
    pub folder: TempDir,
    pub front: SocketAddr,
    pub settings: ProxySettings,
    pub foreign: Version,
    pub proxy: Arc<dyn Proxy>,
    process: Option<Child>,
}

impl Bench {
    /// Starts one; `None` where the engine is not there.
    pub async fn start(kind: Kind) -> Option<Self> {
        engines::parts()?;
        match kind {
            Kind::Traefik => engines::traefik()?,
            _ => engines::caddy()?,
        };
        let folder = tempfile::Builder::new().prefix("px").tempdir().unwrap();
        let (front, foreign) = (free(), Version::start("foreign").await);
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let admin = match kind {
            Kind::CaddySocket => AdminAddress::Unix(path("admin.sock")),
            _ => AdminAddress::Tcp(free()),
        };
        let settings = ProxySettings {
            kind: if kind == Kind::Traefik { ProxyKind::Traefik } else { ProxyKind::Caddy },
            admin: Some(admin),
            folder: matches!(kind, Kind::Caddy | Kind::Traefik).then(|| path("dynamic")),
            server: None,
            front: Some(front),
            drain: Duration::from_secs(10),
            service: None,
            network: None,
        };
        let proxy = proxy::at(&settings, Arc::new(Local::default()));
        let mut bench = Self { kind, folder, front, settings, foreign, proxy, process: None };
        bench.configure();
        bench.run(false).await;
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What somebody else set up.
    fn configure(&self) {
        let foreign = self.foreign.address;
        if self.kind == Kind::Traefik {
            std::fs::create_dir(self.path("dynamic")).unwrap();
            let text = format!(
                "# by hand\nhttp:\n  routers:\n    f: {{rule: Host(`{FOREIGN}`), service: f}}\n  services:\n    f: {{loadBalancer: {{servers: [{{url: \"http://{foreign}\"}}]}}}}\n"
            );
            return std::fs::write(self.path("dynamic/foreign.yaml"), text).unwrap();
        }
        let listen = match self.settings.admin.clone().unwrap() {
            AdminAddress::Tcp(address) => address.to_string(),
            AdminAddress::Unix(path) => format!("unix/{path}"),
        };
        let routes = json!([
            { "match": [{ "host": [FOREIGN] }], "handle": [{ "handler": "reverse_proxy", "upstreams": [{ "dial": foreign.to_string() }] }] },
            { "handle": [{ "handler": "static_response", "body": "nothing here", "status_code": 404 }] },
        ]);
        let server = json!({ "listen": [self.front.to_string()], "automatic_https": { "disable": true }, "routes": routes });
        let config =
            json!({ "admin": { "listen": listen }, "apps": { "http": { "servers": { "web": server } } } });
        std::fs::write(self.path("caddy.json"), config.to_string()).unwrap();
    }

    /// Starts the proxy's process.
    pub async fn run(&mut self, resume: bool) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = match self.kind {
            Kind::Traefik => {
                let mut command = Command::new(engines::traefik().unwrap().program);
                command.arg(format!("--entrypoints.web.address={}", self.front));
                command.arg(format!("--providers.file.directory={}", self.path("dynamic").display()));
                command.args(["--providers.file.watch=true", "--log.level=ERROR"]);
                // As the documentation advises: 2 s otherwise.
                command.arg("--providers.providersThrottleDuration=100ms");
                command
            }
            _ => {
                let mut command = Command::new(engines::caddy().unwrap().program);
                command.arg("run").arg("--config").arg(self.path("caddy.json"));
                command.args(resume.then_some("--resume"));
                command
            }
        };
        command.env_clear().env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
        answers(self.front).await;
        // Traefik listens before it has read its files.
        for _ in 0..200 {
            let answer = async { Visitor::connect(self.front, FOREIGN).await?.get("/version", "").await };
            if answer.await.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("the proxy does not start: {}", std::fs::read_to_string(self.path("log")).unwrap());
    }

    /// Ends it without a word.
    pub async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    /// The version that a new visitor gets.
    pub async fn version(&self) -> String {
        get(self.front, HOST, "/version").await.body.trim().to_owned()
    }

    /// What Caddy's API answers.
    pub async fn caddy(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let Some(AdminAddress::Tcp(admin)) = self.settings.admin else { panic!("no port") };
        ask(admin, method, path, body).await
    }
}

/// Asks Caddy's API as somebody else.
pub async fn ask(admin: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> String {
    let url = format!("http://{admin}{path}");
    let mut request = reqwest::Client::new().request(method.parse().unwrap(), url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

/// The site of the tests, as a route of a fleet.
pub fn site(change: impl FnOnce(&mut Route)) -> Site {
    let mut route = Route { host: HOST.into(), tls: Tls::Off, ..Route::default() };
    change(&mut route);
    Site::new("shop/compose/stage".parse().unwrap(), &route, &BTreeMap::new()).unwrap()
}

pub fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, dhow_testkit::free_port(Ipv4Addr::LOCALHOST)).into()
}

async fn answers(address: SocketAddr) {
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing listens on {address}");
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
