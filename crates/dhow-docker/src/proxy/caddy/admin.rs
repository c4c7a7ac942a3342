//! The admin API: reading the configuration, and changing it if it is still the one that was read.

use std::time::Duration;

use dhow_core::fleet::AdminAddress;
use dhow_core::port::Executor;
use reqwest::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

use super::config::Config;
use crate::proxy::error::ProxyError;
use crate::proxy::live::causes;

/// Time of one call: a reload of a large configuration takes seconds.
const CALL: Duration = Duration::from_secs(30);
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
        let etag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let value = self.json(answer, "its configuration").await?;
        let old = || {
            ProxyError::Unable("this Caddy is too old: its API has no ETag; 2.7 or newer is needed".into())
        };
        Ok(Config { value, etag: etag.ok_or_else(old)? })
    }

    /// What a path answers.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ProxyError> {
        let answer = self.call(Method::GET, path, None, None).await?;
        self.json(answer, path).await
    }

    /// Changes the configuration if it still is the one of this ETag; false: somebody else was faster.
    pub(super) async fn swap(
        &self,
        method: &str,
        path: &str,
        value: Option<&Value>,
        etag: &str,
    ) -> Result<bool, ProxyError> {
        let method = match method {
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            _ => Method::DELETE,
        };
        let answer = self.call(method.clone(), path, value, Some(etag)).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            _ => Err(self.refused(answer, &format!("{method} {path}")).await),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        value: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Response, ProxyError> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).header(HOST, &self.host);
        if let Some(value) = value {
            request = request.header(CONTENT_TYPE, "application/json").body(value.to_string());
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        request.send().await.map_err(|error| self.gone(&error))
    }

    async fn json(&self, answer: Response, what: &str) -> Result<Value, ProxyError> {
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer, what).await);
        }
        let bytes = self.bytes(answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ProxyError::Unexpected(format!("what answers at {} is no Caddy: {error}", self.address))
        })
    }

    async fn bytes(&self, mut answer: Response) -> Result<Vec<u8>, ProxyError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.gone(&error))? {
            if bytes.len() + chunk.len() > MAX_BYTES {
                let message = format!("Caddy at {} answers more than {MAX_BYTES} bytes", self.address);
                return Err(ProxyError::Unexpected(message));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn refused(&self, answer: Response, what: &str) -> ProxyError {
        let status = answer.status();
        let bytes = match self.bytes(answer).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        let said: Option<Value> = serde_json::from_slice(&bytes).ok();
        let said = said.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str);
        let reason: String = said.unwrap_or("no reason given").chars().take(500).collect();
        ProxyError::Refused { what: what.to_owned(), reason: format!("{status}: {reason}") }
    }

    fn gone(&self, error: &reqwest::Error) -> ProxyError {
        ProxyError::Gone { address: self.address.clone(), reason: causes(error) }
    }
}
