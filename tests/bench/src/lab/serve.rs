//! A running `dhow serve`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Events, Lab, Process};

/// The embedded registry's name in fleets: its port is not known when they are written.
pub const REGISTRY: &str = "dhow.test";

/// Killed when it is dropped.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    /// Address of the API and the registry.
    pub api: String,
    /// Address of the sites.
    pub sites: String,
    /// How long it took until it was ready.
    pub ready: Duration,
    state: PathBuf,
    http: reqwest::Client,
}

impl Serve {
    /// Starts it on a fleet, and returns when it is ready.
    pub async fn start(lab: &Lab, fleet: &str, folder: &Path, config: &str) -> Result<Self> {
        let (state, file) = (folder.join("state"), folder.join("serve.yaml"));
        std::fs::write(&file, format!("registry_hosts: [{REGISTRY}]\n{config}"))?;
        let log = std::fs::File::create(folder.join("serve.log"))?;
        let mut command = Command::new(&lab.dhow);
        command.args(["serve", "--listen", "127.0.0.1:0", "--sites", "127.0.0.1:0", "--fleet", fleet]);
        command
            .arg("--state")
            .arg(&state)
            .arg("--config")
            .arg(&file)
            .env("HOME", folder)
            .env("RUST_LOG", "warn");
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::piped()).kill_on_drop(true);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let mut said = String::new();
        let (api, sites) = loop {
            let Some(line) = lines.next_line().await? else { bail!("dhow serve ended: {said}") };
            let found = line
                .strip_prefix("dhow listens on http://")
                .and_then(|rest| rest.split_once(", sites on http://"));
            if let Some((api, sites)) = found {
                break (api.to_owned(), sites.to_owned());
            }
            said += &line;
        };
        // Kept from now on, for whoever asks why a figure is as it is.
        let mut kept = tokio::fs::File::create(folder.join("serve.err")).await?;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut kept, format!("{line}\n").as_bytes()).await;
            }
        });
        let http = reqwest::Client::builder().no_proxy().build()?;
        loop {
            let answer = http.get(format!("http://{api}/readyz")).send().await?;
            if answer.status().is_success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let ready = begun.elapsed();
        Ok(Self { child, api, sites, ready, state, http })
    }

    /// The administrator's token.
    pub fn token(&self) -> Result<String> {
        let path = self.state.join("admin.token");
        let text = std::fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    /// A resource of the API.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("http://{}/api/v1/{path}", self.api)).bearer_auth(self.token()?);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Everything that happens from now on.
    pub async fn events(&self) -> Result<Events> {
        Events::follow(&self.api, &self.token()?, self.newest_event().await?).await
    }

    /// The number of the newest event: so many there were.
    pub async fn newest_event(&self) -> Result<u64> {
        let newest = self.get("history?limit=1&newest_first=true").await?;
        Ok(newest["events"][0]["seq"].as_u64().unwrap_or(0))
    }

    /// The process.
    pub fn process(&self) -> Result<Process> {
        Ok(Process(self.child.id().context("it has ended")?))
    }

    /// Ends it as a service manager does.
    pub async fn stop(mut self) -> Result<()> {
        self.process()?.signal(Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }
}
