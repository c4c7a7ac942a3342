//! Whether the front door serves a configuration: asked there, as a visitor would.

use std::net::SocketAddr;
use std::time::Duration;

use dhow_core::fleet::Tls;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::time::{Instant, sleep};

use super::error::ProxyError;
use super::site::{Site, mark_location};

/// Time of one try, and between two.
const TRY: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// Returns once the front door answers at this path with this mark.
pub(super) async fn wait(
    site: &Site,
    front: SocketAddr,
    path: &str,
    mark: &str,
    limit: Duration,
) -> Result<(), ProxyError> {
    let client = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .resolve(&site.host, front)
        .timeout(TRY)
        .pool_max_idle_per_host(0)
        // The mark is no secret, and a new site's certificate may still be on its way.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| ProxyError::Unexpected(format!("no HTTP client: {error}")))?;
    let scheme = if site.tls == Tls::Off { "http" } else { "https" };
    let url = format!("{scheme}://{}:{}{path}", site.host, front.port());
    let started = Instant::now();
    loop {
        let reason = match client.get(&url).send().await {
            Ok(answer) => {
                let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                let found = location.is_some_and(|location| location.ends_with(&mark_location(mark)));
                if answer.status() == StatusCode::FOUND && found {
                    return Ok(());
                }
                format!("its front door answers {} there", answer.status())
            }
            Err(error) => format!("its front door does not answer: {}", causes(&error)),
        };
        if started.elapsed() >= limit {
            return Err(ProxyError::NotReady { host: site.host.clone(), limit, reason });
        }
        sleep(PAUSE).await;
    }
}

/// An error with what is behind it, without the address, which only holds here.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    match text.is_empty() {
        true if error.is_timeout() => "no answer in time".into(),
        true => "the connection failed".into(),
        false => text,
    }
}
