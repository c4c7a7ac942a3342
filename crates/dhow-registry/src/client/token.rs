//! Answers a challenge: basic, or a token from the registry's token service.

use std::time::Duration;

use base64::Engine as _;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::Client;
use super::challenge::Challenge;
use super::credentials::look_up;
use super::error::{ErrorKind, chain};
use super::host::Host;
use super::settings::Credentials;

/// Largest answer of a token service, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// How long a basic header is reused before Docker's configuration is asked again.
const BASIC_LASTS: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn basic(user: &str, password: &SecretString) -> SecretString {
    let text = format!("{user}:{}", password.expose_secret());
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)).into()
}

impl Client {
    /// The header that answers one of the challenges, and how long it lasts.
    pub(crate) async fn answer(
        &self,
        host: &Host,
        challenges: &[Challenge],
        scope: &str,
    ) -> Result<(SecretString, Duration), ErrorKind> {
        let is_dhow = challenges.iter().any(|c| matches!(c, Challenge::Basic { realm } if realm == "dhow"));
        let credentials = match &host.settings.credentials {
            Some(Credentials::Dhow(_)) if !is_dhow => {
                look_up(&self.inner.settings.docker_config, &host.name).await
            }
            Some(credentials) => Some(credentials.clone()),
            None => look_up(&self.inner.settings.docker_config, &host.name).await,
        };
        if let Some(Credentials::Bearer(token)) = &credentials {
            return Ok((format!("Bearer {}", token.expose_secret()).into(), BASIC_LASTS));
        }
        if let Some(bearer) = challenges.iter().find(|c| matches!(c, Challenge::Bearer { .. })) {
            return self.fetch_token(host, bearer, credentials.as_ref(), scope).await;
        }
        match (challenges.first(), credentials) {
            (None, _) => Err(ErrorKind::Unauthorized("it names no way to log in that we know".into())),
            (_, Some(Credentials::Basic { user, password })) => Ok((basic(&user, &password), BASIC_LASTS)),
            (_, Some(Credentials::Dhow(token) | Credentials::Identity(token))) => {
                Ok((basic("dhow", &token), BASIC_LASTS))
            }
            _ => Err(ErrorKind::Unauthorized("it wants credentials and none are configured".into())),
        }
    }

    async fn fetch_token(
        &self,
        host: &Host,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
        scope: &str,
    ) -> Result<(SecretString, Duration), ErrorKind> {
        let Challenge::Bearer { realm, service, .. } = challenge else {
            return Err(ErrorKind::Unauthorized("it names no token service".into()));
        };
        let url = Url::parse(realm)
            .map_err(|_| ErrorKind::Invalid(format!("its token service {realm:?} is no address")))?;
        self.allowed(host, &url)?;
        let request = self.token_request(host, url, service.as_deref(), credentials, scope)?;
        let refused = |error: reqwest::Error| {
            ErrorKind::Unreachable(format!("its token service {realm}: {}", chain(&error.without_url())))
        };
        let response = request.timeout(self.inner.settings.read).send().await.map_err(refused)?;
        let status = response.status();
        if status == 429 {
            return Err(ErrorKind::RateLimited {
                retry_after: super::send::retry_after(&response).unwrap_or_default(),
            });
        }
        if !status.is_success() {
            return Err(ErrorKind::Unauthorized(format!("its token service {realm} answered {status}")));
        }
        let bytes = super::send::read_limited(response, MAX_TOKEN).await?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes).map_err(|_| {
            ErrorKind::Invalid(format!("its token service {realm} did not answer with a token"))
        })?;
        let token =
            answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(|| {
                ErrorKind::Invalid(format!("its token service {realm} answered without a token"))
            })?;
        let lasts = answer.expires_in.unwrap_or(60).clamp(20, 3600) - 10;
        Ok((format!("Bearer {token}").into(), Duration::from_secs(lasts)))
    }

    fn token_request(
        &self,
        host: &Host,
        mut url: Url,
        service: Option<&str>,
        credentials: Option<&Credentials>,
        scope: &str,
    ) -> Result<reqwest::RequestBuilder, ErrorKind> {
        let authority = authority(&url);
        let other = self.host(&authority)?;
        let http = if authority == super::host_authority(host) { &host.http } else { &other.http };
        if let Some(Credentials::Identity(token)) = credentials {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", "dhow");
            form.append_pair("service", service.unwrap_or_default()).append_pair("scope", scope);
            form.append_pair("refresh_token", token.expose_secret());
            let body = form.finish();
            return Ok(http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body));
        }
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        if !scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let request = http.get(url);
        Ok(match credentials {
            Some(Credentials::Basic { user, password }) => {
                request.header("authorization", basic(user, password).expose_secret())
            }
            _ => request,
        })
    }
}

/// `host[:port]` of an address.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
