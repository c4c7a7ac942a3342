//! One registry: its address, its connection, how many calls it bears, and the tokens it gave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::error::{ErrorKind, chain};
use super::settings::{HostSettings, Settings};

#[derive(Debug)]
pub(crate) struct Host {
    pub name: String,
    pub base: Url,
    pub http: reqwest::Client,
    pub calls: Arc<Semaphore>,
    pub settings: HostSettings,
    blocked: Mutex<Option<Instant>>,
    headers: Mutex<HashMap<String, (SecretString, Instant)>>,
}

impl Host {
    pub fn new(name: &str, own: HostSettings, settings: &Settings) -> Result<Self, ErrorKind> {
        let authority = match &own.address {
            Some(address) => address,
            None if name == "docker.io" => "registry-1.docker.io",
            None => name,
        };
        let plain = own.plain_http || is_loopback(authority);
        // A certificate means that it speaks TLS, loopback or not.
        let scheme = if plain && own.ca.is_none() { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{authority}/v2/"))
            .map_err(|error| ErrorKind::Local(format!("{name} is no address: {error}")))?;
        let http = connection(settings, &own, is_loopback(authority))?;
        Ok(Self {
            name: name.to_owned(),
            base,
            http,
            calls: Arc::new(Semaphore::new(own.calls.unwrap_or(settings.calls).max(1))),
            settings: own,
            blocked: Mutex::default(),
            headers: Mutex::default(),
        })
    }

    /// How long the registry still wants to be left alone.
    pub fn blocked(&self) -> Duration {
        let until = *self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Leaves the registry alone for a while: every call to it, not only the one that was told.
    pub fn block(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        *blocked = Some(blocked.map_or(until, |before| before.max(until)));
    }

    /// The `Authorization` that worked for this scope, while it lasts.
    pub fn authorization(&self, scope: &str) -> Option<SecretString> {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        headers.get(scope).filter(|(_, until)| *until > Instant::now()).map(|(header, _)| header.clone())
    }

    pub fn remember(&self, scope: &str, header: SecretString, lasts: Duration) {
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        headers.retain(|_, (_, until)| *until > Instant::now());
        headers.insert(scope.to_owned(), (header, Instant::now() + lasts));
    }

    pub fn forget(&self, scope: &str) {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
    }
}

fn connection(settings: &Settings, own: &HostSettings, loopback: bool) -> Result<reqwest::Client, ErrorKind> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only where another thread was faster, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .gzip(false)
        .connect_timeout(settings.connect)
        .read_timeout(settings.read);
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(pem) = &own.ca {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| ErrorKind::Local(format!("its CA is no PEM certificate: {}", chain(&error))))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| ErrorKind::Local(format!("TLS cannot be set up: {}", chain(&error))))
}

/// Whether `host[:port]` is this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{authority}/")) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_or_by_name() {
        let settings = Settings::default();
        for (name, base) in [
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("ghcr.io", "https://ghcr.io/v2/"),
            ("localhost:5000", "http://localhost:5000/v2/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
            ("plain.acme.dev", "http://plain.acme.dev/v2/"),
            ("127.0.0.1.acme.dev", "https://127.0.0.1.acme.dev/v2/"),
        ] {
            let own = HostSettings { plain_http: name == "plain.acme.dev", ..Default::default() };
            assert_eq!(Host::new(name, own, &settings).unwrap().base.as_str(), base);
        }
    }

    #[test]
    fn a_registry_with_an_address_is_called_there() {
        let own = HostSettings { address: Some("127.0.0.1:8080".into()), ..Default::default() };
        let host = Host::new("dhow.acme.dev", own, &Settings::default()).unwrap();
        assert_eq!((host.name.as_str(), host.base.as_str()), ("dhow.acme.dev", "http://127.0.0.1:8080/v2/"));
    }

    #[test]
    fn a_broken_ca_is_told() {
        let pem = b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n".to_vec();
        let own = HostSettings { ca: Some(pem), ..Default::default() };
        assert!(matches!(Host::new("a.dev", own, &Settings::default()), Err(ErrorKind::Local(_))));
    }
}
