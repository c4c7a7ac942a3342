//! Whether the registries of the fleet answer. No login is sent: any answer is one.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use dhow_core::fleet::{Fleet, RegistrySettings};
use dhow_docker::inspect::{Finding, Standing};
use futures::stream::{self, StreamExt as _};

/// Time for one of them.
const LIMIT: Duration = Duration::from_secs(10);
/// Registries that are asked at a time.
const WIDTH: usize = 8;

/// One finding a registry that the fleet names.
pub(super) async fn findings(fleet: Option<&Fleet>) -> Vec<Finding> {
    let Some(fleet) = fleet else { return Vec::new() };
    let mut hosts: BTreeMap<&str, Option<&RegistrySettings>> =
        fleet.registries.iter().map(|(host, settings)| (host.as_str(), Some(settings))).collect();
    for artifact in fleet.services.values().flat_map(|service| service.artifacts.values()) {
        hosts.entry(artifact.repository.registry()).or_default();
    }
    let client = reqwest::Client::builder()
        .timeout(LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")))
        .build();
    let Ok(client) = client else {
        let message = "the registries cannot be asked: no HTTP client can be made";
        return vec![Finding::new("registry", Standing::Warning, message)];
    };
    let client = &client;
    stream::iter(hosts)
        .map(|(host, settings)| async move { ask(client, host, settings).await })
        .buffered(WIDTH)
        .collect()
        .await
}

async fn ask(client: &reqwest::Client, host: &str, settings: Option<&RegistrySettings>) -> Finding {
    let Err(error) = client.get(base(host, settings)).send().await else {
        return Finding::new("registry", Standing::Ok, format!("{host} answers"));
    };
    let mut reasons = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(next) = cause {
        reasons.push(next.to_string());
        cause = next.source();
    }
    let certificate = reasons.iter().any(|reason| reason.to_lowercase().contains("certificate"));
    match (certificate, settings.is_some_and(|settings| settings.ca.is_some())) {
        (true, true) => Finding::new(
            "registry",
            Standing::Warning,
            format!(
                "{host} answers with a certificate that this machine does not know; whether the `ca` of dhow.yaml vouches for \
                 it, `dhow serve` tells with its first request"
            ),
        ),
        (true, false) => Finding::new(
            "registry",
            Standing::Failed,
            format!(
                "{host} answers with a certificate that is not trusted here: give its `ca` under registries in dhow.yaml"
            ),
        ),
        (false, _) => {
            let reason = reasons.pop().unwrap_or_default();
            let advice = "look at name resolution, the way out of this machine, and the registry itself";
            Finding::new("registry", Standing::Failed, format!("{host} does not answer: {reason}; {advice}"))
        }
    }
}

/// The address that every registry answers at, whoever asks.
fn base(host: &str, settings: Option<&RegistrySettings>) -> String {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let plain =
        settings.map_or(loopback, |settings| (loopback || settings.plain_http) && settings.ca.is_none());
    let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
    format!("{}://{host}/v2/", if plain { "http" } else { "https" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_and_where_the_fleet_says_so() {
        assert_eq!(base("ghcr.io", None), "https://ghcr.io/v2/");
        assert_eq!(base("127.0.0.1:5000", None), "http://127.0.0.1:5000/v2/");
        assert_eq!(base("localhost:5000", None), "http://localhost:5000/v2/");
        assert_eq!(base("127.0.0.1.acme.dev", None), "https://127.0.0.1.acme.dev/v2/");
        let plain = RegistrySettings { credentials: None, ca: None, plain_http: true, calls: None };
        assert_eq!(base("registry.acme.dev", Some(&plain)), "http://registry.acme.dev/v2/");
    }

    #[tokio::test]
    async fn a_registry_that_asks_for_a_login_answers_and_a_closed_port_does_not() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.unwrap();
            let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let found = ask(&client, &host, None).await;
        assert_eq!(found.standing, Standing::Ok, "{found:?}");
        served.await.unwrap();
        let found = ask(&client, &host, None).await;
        assert!(found.standing == Standing::Failed && found.message.contains("does not answer"), "{found:?}");
    }
}
