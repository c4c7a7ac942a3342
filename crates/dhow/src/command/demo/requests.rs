//! Visitors: a loop of requests that counts every answer that is not the right one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
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
    /// Those that got no answer.
    pub unanswered: Vec<String>,
    /// Answers that were not one of the good versions.
    pub wrong: Vec<String>,
}

/// Where visitors of an environment come in.
#[derive(Debug, Clone)]
pub struct Front {
    /// The address.
    pub address: SocketAddr,
    /// The name that they ask for.
    pub host: String,
}

/// An address of this machine that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// The page that a visitor gets.
pub async fn body(front: &Front) -> Result<String> {
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .get(format!("http://{}/", front.address))
        .header("host", &front.host)
        .timeout(Duration::from_secs(5))
        .send()
        .await?;
    Ok(answer.error_for_status()?.text().await?)
}

impl Requests {
    /// Asks at every front in turn, a hundred times a second.
    pub fn start(fronts: Vec<Front>) -> Self {
        let stop = CancellationToken::new();
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let mut counted = Counted::default();
            while !ended.is_cancelled() {
                for front in &fronts {
                    counted.total += 1;
                    match body(front).await {
                        Ok(page) if page.contains("Version 1.0.0") || page.contains("Version 2.0.0") => {}
                        Ok(page) => counted.wrong.push(format!("{} answered {page:?}", front.host)),
                        Err(error) => counted.unanswered.push(format!("{}: {error:#}", front.host)),
                    }
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
