//! The admin API: reading the configuration, and changing it if it is still the one that was read.

use std::time::Duration;

use dhow_core::fleet::AdminAddress;
use dhow_core::port::Executor;
pub(super) use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::config::Config;
use crate::proxy::error::ProxyError;
use crate::proxy::live::causes;

/// Time of one call: a reload of a large configuration takes seconds.
const CALL: Duration = Duration::from_secs(30);
/// How often it is called while it does not answer, and the time between the first two.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// Largest answer.
const MAX_BYTES: usize = 16 << 20;

/// The API at one place.
pub(super) struct Admin {
    client: Client,
    base: String,
    /// Caddy answers only to the host that it listens on.
    host: String,
    address: String,
}

impl Admin {
    /// Opens the way to it. Says nothing yet.
    pub(super) async fn open(
        address: Option<&AdminAddress>,
        executor: &dyn Executor,
    ) -> Result<Self, ProxyError> {
        let address =
            address.ok_or_else(|| ProxyError::Unable("the proxy caddy has no admin in dhow.yaml".into()))?;
        // Caddy closes its API's connections at each change: none is kept.
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(CALL);
        // It speaks plain HTTP: the machine's certificates need not be read.
        let builder = builder.tls_certs_only([]);
        let (builder, base, host) = match address {
            AdminAddress::Tcp(to) => {
                let here = executor.forward_tcp(*to).await?;
                (builder, format!("http://{here}"), to.to_string())
            }
            AdminAddress::Unix(path) => {
                let here = executor.forward_socket(path).await?;
                (builder.unix_socket(here), "http://127.0.0.1".to_owned(), "127.0.0.1".to_owned())
            }
        };
        let client =
            builder.build().map_err(|error| ProxyError::Unexpected(format!("no HTTP client: {error}")))?;
        Ok(Self { client, base, host, address: address.to_string() })
    }

    /// The whole configuration, with what it is known by.
    pub(super) async fn config(&self) -> Result<Config, ProxyError> {
        let answer = self.call(Method::GET, "/config/", None, None).await?;
        let value = self.json(&answer, "its configuration")?;
        let old = || {
            ProxyError::Unable("this Caddy is too old: its API has no ETag; 2.7 or newer is needed".into())
        };
        Ok(Config { value, etag: answer.etag.ok_or_else(old)? })
    }

    /// What a path answers.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ProxyError> {
        let answer = self.call(Method::GET, path, None, None).await?;
        self.json(&answer, path)
    }

    /// Changes the configuration if it still is the one of this ETag; false: somebody else was faster, or an earlier try
    /// of this very change whose answer was lost.
    pub(super) async fn swap(
        &self,
        method: Method,
        path: &str,
        value: Option<&Value>,
        etag: &str,
    ) -> Result<bool, ProxyError> {
        let answer = self.call(method.clone(), path, value, Some(etag)).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            _ => Err(refused(&answer, &format!("{method} {path}"))),
        }
    }

    /// One call. Caddy starts its API anew at each change, and drops connections at that: they are tried again, which the
    /// ETag makes safe for a change, too.
    async fn call(
        &self,
        method: Method,
        path: &str,
        value: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, ProxyError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.call_once(method.clone(), path, value, etag).await {
                Err(ProxyError::Gone { .. }) if tries < TRIES => sleep(PAUSE * tries).await,
                done => return done,
            }
        }
    }

    async fn call_once(
        &self,
        method: Method,
        path: &str,
        value: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, ProxyError> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).header(HOST, &self.host);
        if let Some(value) = value {
            request = request.header(CONTENT_TYPE, "application/json").body(value.to_string());
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let mut response = request.send().await.map_err(|error| self.gone(&error))?;
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut answer = Answer { status: response.status(), etag, bytes: Vec::new() };
        while let Some(chunk) = response.chunk().await.map_err(|error| self.gone(&error))? {
            if answer.bytes.len() + chunk.len() > MAX_BYTES {
                let message = format!("Caddy at {} answers more than {MAX_BYTES} bytes", self.address);
                return Err(ProxyError::Unexpected(message));
            }
            answer.bytes.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    fn json(&self, answer: &Answer, what: &str) -> Result<Value, ProxyError> {
        if answer.status != StatusCode::OK {
            return Err(refused(answer, what));
        }
        serde_json::from_slice(&answer.bytes).map_err(|error| {
            ProxyError::Unexpected(format!("what answers at {} is no Caddy: {error}", self.address))
        })
    }

    fn gone(&self, error: &reqwest::Error) -> ProxyError {
        ProxyError::Gone { address: self.address.clone(), reason: causes(error) }
    }
}

/// An answer, whole.
struct Answer {
    status: StatusCode,
    etag: Option<String>,
    bytes: Vec<u8>,
}

fn refused(answer: &Answer, what: &str) -> ProxyError {
    let said: Option<Value> = serde_json::from_slice(&answer.bytes).ok();
    let said = said.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str);
    let reason: String = said.unwrap_or("no reason given").chars().take(500).collect();
    ProxyError::Refused { what: what.to_owned(), reason: format!("{}: {reason}", answer.status) }
}
