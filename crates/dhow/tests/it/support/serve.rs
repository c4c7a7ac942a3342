//! A running `dhow serve`, and the commands that speak to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::fleet::HOST;
use super::process::{Said, dhow, dhow_under, run};
use super::{DEADLINE, Fleet};

/// The configuration of every `serve`: as by default, but quicker.
const CONFIG: &str = "fleet_interval: 500ms\ntags_interval: 1s\nhealth_interval: 1s\n";

/// A running `dhow serve`. It is killed when this is dropped.
pub struct Serve {
    child: Child,
    home: PathBuf,
    pub state: PathBuf,
    pub api: String,
    pub sites: String,
    stderr: Arc<Mutex<String>>,
    reads: watch::Sender<bool>,
    http: reqwest::Client,
}

/// A `serve` to be started.
pub struct Start<'a> {
    fleet: &'a Fleet,
    url: String,
    state: PathBuf,
    listen: String,
    config: String,
    environment: Vec<(String, String)>,
    under: &'a [&'a str],
}

impl Fleet {
    /// A `serve` on this fleet.
    pub fn serve(&self) -> Start<'_> {
        Start {
            fleet: self,
            url: self.url(),
            state: self.folder().join("state"),
            listen: "127.0.0.1:0".into(),
            config: format!("registry_hosts: [{HOST}]\n{CONFIG}"),
            environment: Vec::new(),
            under: &[],
        }
    }
}

impl<'a> Start<'a> {
    /// On another address of the fleet.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// On every address, at this port; a server reaches its registry by this name.
    pub fn reached_as(mut self, name: &str, port: u16) -> Self {
        self.listen = format!("0.0.0.0:{port}");
        self.config = self.config.replace(HOST, &format!("{HOST}, \"{name}\""));
        self
    }

    /// With the API and the registry there.
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.listen = address.to_string();
        self
    }

    /// With more in its `--config`.
    pub fn config(mut self, more: &str) -> Self {
        self.config.push_str(more);
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Started by another program, which becomes it.
    pub fn under(mut self, by: &'a [&'a str]) -> Self {
        self.under = by;
        self
    }

    /// The command, not started.
    pub fn command(&self) -> Command {
        let config = self.fleet.folder().join("serve.yaml");
        std::fs::write(&config, &self.config).unwrap();
        let mut command = dhow_under(self.under, &self.fleet.home());
        command.args(["serve", "--listen", &self.listen, "--sites", "127.0.0.1:0", "--fleet", &self.url]);
        command.arg("--state").arg(&self.state).arg("--config").arg(config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, and returns when its listeners answer.
    pub async fn start(self) -> Serve {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let stderr = Arc::new(Mutex::new(String::new()));
        let (sender, mut receiver) = watch::channel(None);
        let kept = Arc::clone(&stderr);
        let (reads, mut may_read) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if may_read.wait_for(|may| *may).await.is_err() {
                    return;
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
                if let Some(found) = addresses(&line) {
                    sender.send_replace(Some(found));
                }
            }
        });
        let found = timeout(DEADLINE, receiver.wait_for(Option::is_some)).await;
        let found = match found {
            Ok(Ok(found)) => found.clone().unwrap(),
            _ => panic!("serve did not start: {}", stderr.lock().unwrap()),
        };
        let (api, sites) = found;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Serve { child, home: self.fleet.home(), state: self.state, api, sites, stderr, reads, http }
    }
}

/// `dhow listens on http://A, sites on http://B`
fn addresses(line: &str) -> Option<(String, String)> {
    let (api, sites) = line.strip_prefix("dhow listens on http://")?.split_once(", sites on http://")?;
    // Where it listens everywhere, it is here too.
    Some((api.replace("0.0.0.0", "127.0.0.1"), sites.to_owned()))
}

impl Serve {
    /// A command that speaks to it as its administrator.
    pub async fn dhow(&self, arguments: &[&str]) -> Said {
        let mut command = dhow(&self.home);
        run({
            command.env("DHOW_STATE", &self.state).args(arguments);
            command
        })
        .await
    }

    /// A command that speaks to it with a token.
    pub async fn dhow_as(&self, token: &str, arguments: &[&str]) -> Said {
        let mut command = dhow(&self.home);
        command.env("DHOW_URL", format!("http://{}", self.api)).env("DHOW_TOKEN", token).args(arguments);
        run(command).await
    }

    /// The administrator's token.
    pub fn admin(&self) -> String {
        std::fs::read_to_string(self.state.join("admin.token")).unwrap().trim().to_owned()
    }

    /// Makes a token.
    pub async fn token(&self, name: &str, role: &str) -> String {
        let said = self.dhow(&["token", "add", name, "--role", role]).await.ok();
        said.stdout.trim().to_owned()
    }

    /// `dhow publish` of these files, in a process of its own.
    pub async fn publish(&self, files: &[(&str, String)], to: &str) -> Said {
        self.publish_as(&self.admin(), files, to).await
    }

    /// The same with a token.
    pub async fn publish_as(&self, token: &str, files: &[(&str, String)], to: &str) -> Said {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut command = dhow(&self.home);
        command.env("DHOW_TOKEN", token).arg("publish").arg(folder.path());
        command.args(["--to", &format!("{}/{to}", self.api)]);
        run(command).await
    }

    /// Waits until a service is healthy in an environment at a version.
    #[track_caller]
    pub fn reaches(&self, service: &str, environment: &str, version: &str) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let limit = format!("{}s", DEADLINE.as_secs());
            let words = ["wait", service, environment, "--version", version, "--timeout", &limit];
            let said = self.dhow(&words).await;
            assert_eq!(said.code, Some(0), "{at}: {}\nserve said: {}", said.stderr, self.said());
        }
    }

    /// What a site answers.
    pub async fn page(&self, host: &str, path: &str) -> (u16, String) {
        let request = self.http.get(format!("http://{}{path}", self.sites)).header("host", host);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A resource of the API, as the administrator.
    pub async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("http://{}/api/v1/{path}", self.api)).bearer_auth(self.admin());
        let answer = request.send().await.unwrap_or_else(|e| panic!("{e:?}; serve said: {}", self.said()));
        answer.json().await.unwrap()
    }

    /// All events of a kind so far, oldest first.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let all = self.get("history?limit=1000").await["events"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// The row of a service in an environment in `status`.
    pub async fn row(&self, service: &str, environment: &str) -> Value {
        self.get(&format!("status?service={service}&environment={environment}")).await["deployments"][0]
            .clone()
    }

    /// Waits until the answer of `GET /api/v1/<path>` is as wanted: looked at again whenever something happens.
    #[track_caller]
    pub fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + DEADLINE;
            let url = format!("http://{}/api/v1/events?after=0", self.api);
            let mut events = self.http.get(url).bearer_auth(self.admin()).send().await.unwrap();
            loop {
                let answer = self.get(path).await;
                if holds(&answer) {
                    return answer;
                }
                assert!(Instant::now() < deadline, "{at}: in vain: {answer:#}\nserve said: {}", self.said());
                // What is shown may change without an event; so it is looked at without one, too.
                let _ = timeout(Duration::from_millis(200), events.chunk()).await;
            }
        }
    }

    /// Whether anybody reads what it says on stderr, which is a pipe.
    pub fn reads_its_log(&self, reads: bool) {
        self.reads.send_replace(reads);
    }

    /// All that it has said on stderr.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The directory of its state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// `kill -TERM`, and how it ended.
    pub async fn terminate(mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.pid()]);
        run(kill).await.ok();
        let status = timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        (status.code(), begun.elapsed())
    }
}
