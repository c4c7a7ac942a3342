//! What Dhow says as it happens: its stream of events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A stream of events (`text/event-stream`), each with the instant at which it was read here.
#[derive(Debug)]
pub struct Events {
    response: Response,
    rest: Vec<u8>,
    read: VecDeque<(Instant, Value)>,
}

impl Events {
    /// Those after a number.
    pub async fn follow(api: &str, token: &str, after: u64) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let request = client.get(format!("http://{api}/api/v1/events?after={after}")).bearer_auth(token);
        let response = request.send().await?.error_for_status()?;
        Ok(Self { response, rest: Vec::new(), read: VecDeque::new() })
    }

    /// The next one.
    pub async fn next(&mut self) -> Result<(Instant, Value)> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let chunk =
                timeout(PATIENCE, self.response.chunk()).await.context("nothing happened any more")??;
            let now = Instant::now();
            self.rest.extend(chunk.context("dhow ended")?);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    self.read.push_back((now, serde_json::from_slice(data)?));
                }
            }
        }
    }

    /// The next one that is as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<(Instant, Value)> {
        loop {
            let (at, event) = self.next().await?;
            if wanted(&event) {
                return Ok((at, event));
            }
        }
    }

    /// When so many rollouts were verified, the last of them.
    pub async fn verified(&mut self, mut count: usize) -> Result<Instant> {
        let mut last = Instant::now();
        while count > 0 {
            (last, _) = self.until(is_verified).await?;
            count -= 1;
        }
        Ok(last)
    }
}

/// A rollout whose new version was seen to work.
pub fn is_verified(event: &Value) -> bool {
    event["kind"] == "rollout_moved" && event["from"] == "verifying" && event["to"] == "finishing"
}
