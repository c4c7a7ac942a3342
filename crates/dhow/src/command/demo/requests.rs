//! Visitors: a loop of requests that counts every answer that is not the right one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dhow_core::noun::ServiceName;
use tokio_util::sync::CancellationToken;

/// A loop of requests under way.
pub struct Requests {
    task: tokio::task::JoinHandle<Counted>,
    stop: CancellationToken,
}

/// What the visitors saw.
#[derive(Debug, Default)]
pub struct Counted {
    /// Requests made.
    pub total: u64,
    /// Answers that were wrong, the first few in words.
    pub failed: Vec<String>,
}

/// An address of this machine that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// The page that a visitor gets.
pub async fn body(sites: SocketAddr, service: &ServiceName, environment: &str) -> Result<String> {
    let answer = reqwest::Client::new()
        .get(format!("http://{sites}/"))
        .header("host", format!("{service}.{environment}.localhost"))
        .timeout(Duration::from_secs(5))
        .send()
        .await?;
    Ok(answer.error_for_status()?.text().await?)
}

impl Requests {
    /// Asks every environment in turn, a hundred times a second.
    pub fn start(sites: SocketAddr, service: &ServiceName, environments: &[&'static str]) -> Self {
        let stop = CancellationToken::new();
        let (ended, service) = (stop.clone(), service.clone());
        let environments = environments.to_vec();
        let task = tokio::spawn(async move {
            let mut counted = Counted::default();
            while !ended.is_cancelled() {
                for environment in &environments {
                    counted.total += 1;
                    let wrong = match body(sites, &service, environment).await {
                        Ok(page) if page.contains("Version 1.0.0") || page.contains("Version 2.0.0") => None,
                        Ok(page) => Some(format!("{environment} answered {page:?}")),
                        Err(error) => Some(format!("{environment}: {error:#}")),
                    };
                    counted.failed.extend(wrong);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            counted
        });
        Self { task, stop }
    }

    /// Ends the loop.
    pub async fn stop(self) -> Result<Counted> {
        self.stop.cancel();
        self.task.await.context("the request loop broke")
    }
}
