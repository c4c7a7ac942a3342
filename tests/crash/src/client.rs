//! What people and build servers do. Where a connection breaks, they ask again.

use std::time::Duration;

use anyhow::{Result, bail};
use dhow_core::noun::{ImageReference, SourceLabels};
use dhow_registry::bundle::{PublishError, publish};
use dhow_registry::client::{Client, Credentials, ErrorKind, Settings};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::world::World;

/// Between two looks, and two tries.
const LOOK: Duration = Duration::from_millis(80);

impl World {
    /// The administrator's token.
    ///
    /// # Errors
    /// It is not written yet.
    pub fn admin(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.state().join("admin.token"))?.trim().to_owned())
    }

    /// Sends a request until it is answered, by this process or a later one.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let deadline = Instant::now() + self.lab.patience;
        loop {
            let door = self.keeper.door(self.lab.patience).await?;
            let url = format!("http://{}/api/v1/{path}", door.api);
            let mut request = self.http.request(method.clone(), url).bearer_auth(self.admin()?);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answered = async {
                let answer = request.send().await?;
                let status = answer.status();
                Ok::<_, reqwest::Error>((status, answer.json::<Value>().await?))
            };
            match answered.await {
                // Right after a start, people are asked to wait a moment.
                Ok((status, answer))
                    if status.is_server_error() || answer.to_string().contains("has not been read yet") => {}
                Ok(answer) => return Ok(answer),
                Err(error) if Instant::now() > deadline => bail!("{path} is not answered: {error:#}"),
                Err(_) => {}
            }
            sleep(LOOK).await;
        }
    }

    /// A resource of the API.
    ///
    /// # Errors
    /// Nobody answers, or with an error.
    pub async fn get(&self, path: &str) -> Result<Value> {
        match self.send(Method::GET, path, None).await? {
            (status, answer) if status.is_success() => Ok(answer),
            (status, answer) => bail!("{path}: {status} {answer}"),
        }
    }

    /// Asks for an action. What is refused is no error: whoever asks again is often told that it is done.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn act(&self, path: &str, body: &Value) -> Result<Result<(), String>> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        Ok(if status.is_success() { Ok(()) } else { Err(answer["error"]["message"].to_string()) })
    }

    /// Looks until it is so.
    ///
    /// # Errors
    /// It never is.
    pub async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool + Send) -> Result<Value> {
        let deadline = Instant::now() + self.lab.patience;
        loop {
            let answer = self.get(path).await?;
            if holds(&answer) {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                bail!("in vain: {path}: {answer:#}");
            }
            sleep(LOOK).await;
        }
    }

    /// Publishes files as a bundle, again until it is there.
    ///
    /// # Errors
    /// The registry refuses it, or nobody answers.
    pub async fn publish(&self, files: &[(&str, String)], to: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text)?;
        }
        let deadline = Instant::now() + self.lab.patience;
        loop {
            let door = self.keeper.door(self.lab.patience).await?;
            let target: ImageReference = format!("{}/{to}", door.api).parse()?;
            let mut settings = Settings { patience: Duration::from_secs(2), ..Settings::default() };
            let host = settings.hosts.entry(door.api).or_default();
            host.credentials = Some(Credentials::Dhow(SecretString::from(self.admin()?)));
            let done =
                publish(&Client::new(settings), folder.path(), &target, &SourceLabels::default()).await;
            match done {
                Ok(_) => return Ok(()),
                Err(PublishError::Client(error)) if matches!(error.kind, ErrorKind::Unauthorized(_)) => {
                    return Err(error.into());
                }
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Waits until a service is healthy in an environment at a version.
    ///
    /// # Errors
    /// It never is.
    pub async fn reaches(&self, service: &str, environment: &str, version: &str) -> Result<()> {
        let path = format!("status?service={service}&environment={environment}");
        let is_there = |answer: &Value| {
            let all = answer["deployments"].as_array().cloned().unwrap_or_default();
            !all.is_empty() && all.iter().all(|row| is_at(row, version))
        };
        self.until(&path, is_there).await.map(drop)
    }

    /// Says yes to what is asked about a service in an environment, as soon as it is asked.
    ///
    /// # Errors
    /// It is never asked, or the vote is refused.
    pub async fn approve(&self, service: &str, environment: &str) -> Result<()> {
        let open = |answer: &Value| id_of(answer, service, environment).is_some();
        let answer = self.until("status", open).await?;
        let id = id_of(&answer, service, environment).unwrap_or_default();
        let path = format!("approve/{service}/{environment}");
        if let Err(refused) = self.act(&path, &json!({ "id": id })).await? {
            // Whoever was cut off and asks again finds it decided.
            let events = self.history().await?;
            let voted = events.iter().any(|event| event["kind"] == "voted" && event["id"] == id.as_str());
            if !voted {
                bail!("the vote about {service} in {environment} was refused: {refused}");
            }
        }
        Ok(())
    }

    /// Goes back to a version.
    ///
    /// # Errors
    /// It is refused.
    pub async fn rollback(&self, service: &str, environment: &str, to: &str) -> Result<()> {
        let path = format!("rollback/{service}/{environment}");
        self.act(&path, &json!({ "to": to })).await?.map_err(anyhow::Error::msg)
    }

    /// Everything that happened, oldest first.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn history(&self) -> Result<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |event| event["seq"].as_u64().unwrap_or_default());
            let page = self.get(&format!("history?limit=1000&after={after}")).await?;
            let page = page["events"].as_array().cloned().unwrap_or_default();
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// What a site answers; none where it does not.
    pub async fn page(&self, host: &str) -> Option<String> {
        let door = self.keeper.door(self.lab.patience).await.ok()?;
        let request = self.http.get(format!("http://{}/", door.sites)).header("host", host);
        let answer = request.send().await.ok()?;
        let status = answer.status();
        Some(format!("{status} {}", answer.text().await.ok()?.trim()))
    }

    /// Waits until something holds of this machine.
    ///
    /// # Errors
    /// It never does.
    pub async fn becomes(&self, what: &str, holds: impl Fn() -> bool + Send) -> Result<()> {
        let deadline = Instant::now() + self.lab.patience;
        while !holds() {
            if Instant::now() > deadline {
                bail!("in vain: {what}");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until a file is there.
    ///
    /// # Errors
    /// It never is.
    pub async fn appears(&self, file: &std::path::Path) -> Result<()> {
        self.becomes(&format!("{} appears", file.display()), || file.exists()).await
    }

    /// Waits until nothing was stored for a while.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn quiet(&self, time: Duration) -> Result<()> {
        let newest = async || {
            let newest = self.get("history?limit=1&newest_first=true").await?;
            Ok::<_, anyhow::Error>(newest["events"][0]["seq"].clone())
        };
        let (mut last, mut since) = (newest().await?, Instant::now());
        while since.elapsed() < time {
            sleep(LOOK).await;
            let now = newest().await?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(())
    }
}

/// Whether a row of `status` is healthy at a version.
fn is_at(row: &Value, version: &str) -> bool {
    let runs = |list: &Value| {
        list.as_array().is_some_and(|l| !l.is_empty() && l.iter().all(|a| a["tag"] == version))
    };
    row["health"] == "healthy"
        && row["phase"] == "succeeded"
        && runs(&row["desired"])
        && runs(&row["running"])
}

fn id_of(status: &Value, service: &str, environment: &str) -> Option<String> {
    let all = status["proposals"].as_array()?;
    let ours = all.iter().find(|p| p["service"] == service && p["environment"] == environment)?;
    ours["id"].as_str().map(str::to_owned)
}
