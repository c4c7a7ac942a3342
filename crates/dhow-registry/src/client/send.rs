//! Sends a request: with authorization, patience, redirects and limits.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, Url};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::challenge::Challenge;
use super::error::{Error, ErrorKind, chain};
use super::host::{Host, is_loopback};
use super::token::authority;
use super::{Client, host_authority};

/// Redirects that are followed.
const HOPS: usize = 5;
/// How often a call is made anew after 429 or 503.
const RETRIES: u32 = 3;
/// Time for reading a small answer, however slowly it drips.
pub(crate) const SMALL: Duration = Duration::from_secs(120);
/// Largest error answer that is read, in bytes.
const MAX_ERROR: usize = 64 << 10;

/// One call to a registry.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub host: &'a Host,
    pub method: Method,
    pub url: Url,
    /// For messages: `tags of shop/web`.
    pub what: &'a str,
    /// The scope of a token: `repository:shop/web:pull`.
    pub scope: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Bytes>,
}

impl Ask<'_> {
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error { registry: self.host.name.clone(), asked: self.what.to_owned(), kind }
    }
}

/// An answer, with the right to make a call, which ends when the answer was read.
pub(crate) struct Answer {
    pub response: Response,
    pub permit: OwnedSemaphorePermit,
}

impl Client {
    /// Sends until there is an answer of the 2xx kind, or an error.
    pub(crate) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let permit = ask.host.calls.clone().acquire_owned().await;
        let permit = permit.map_err(|_| ask.error(ErrorKind::Local("the client is shut down".into())))?;
        let mut authenticated = false;
        let mut tries = 0;
        loop {
            self.wait(ask).await?;
            let response = self.follow(ask).await.map_err(|kind| ask.error(kind))?;
            let status = response.status();
            if status.is_success() {
                return Ok(Answer { response, permit });
            }
            if status == 401 && !authenticated {
                authenticated = true;
                self.authenticate(ask, &response).await.map_err(|kind| ask.error(kind))?;
                continue;
            }
            let slow_down = status == 429 || status == 503;
            if slow_down && (status == 429 || retry_after(&response).is_some()) {
                let wait = retry_after(&response).unwrap_or(Duration::from_secs(1 << tries));
                ask.host.block(wait);
                tries += 1;
                if tries > RETRIES {
                    return Err(ask.error(ErrorKind::RateLimited { retry_after: wait }));
                }
                continue;
            }
            return Err(ask.error(refusal(response).await));
        }
    }

    /// Waits while the registry wants to be left alone, if that is not too long.
    async fn wait(&self, ask: &Ask<'_>) -> Result<(), Error> {
        let blocked = ask.host.blocked();
        if blocked > self.inner.settings.patience {
            return Err(ask.error(ErrorKind::RateLimited { retry_after: blocked }));
        }
        if !blocked.is_zero() {
            tokio::time::sleep(blocked).await;
        }
        Ok(())
    }

    async fn authenticate(&self, ask: &Ask<'_>, response: &Response) -> Result<(), ErrorKind> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> =
            headers.iter().filter_map(|header| Challenge::parse(header.to_str().ok()?)).collect();
        ask.host.forget(ask.scope);
        let (header, lasts) = self.answer(ask.host, &challenges, ask.scope).await?;
        ask.host.remember(ask.scope, header, lasts);
        Ok(())
    }

    /// Follows redirects of reads. `Authorization` goes to the registry itself and nowhere else.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Response, ErrorKind> {
        let mut url = ask.url.clone();
        for _ in 0..=HOPS {
            let response = self.once(ask, url.clone()).await?;
            let reads = ask.method == Method::GET || ask.method == Method::HEAD;
            if !response.status().is_redirection() || !reads {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let target = target.ok_or_else(|| ErrorKind::Invalid("a redirect to nowhere".into()))?;
            url = url.join(target).map_err(|_| ErrorKind::Invalid("a redirect to no address".into()))?;
        }
        Err(ErrorKind::Invalid(format!("more than {HOPS} redirects")))
    }

    async fn once(&self, ask: &Ask<'_>, url: Url) -> Result<Response, ErrorKind> {
        self.allowed(ask.host, &url)?;
        let own = is_own(ask.host, &url);
        let other = if own { None } else { Some(self.host(&authority(&url))?) };
        let http = other.as_ref().map_or(&ask.host.http, |other| &other.http);
        let mut request = http.request(ask.method.clone(), url);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if own && let Some(header) = ask.host.authorization(ask.scope) {
            let mut value = reqwest::header::HeaderValue::from_str(header.expose_secret())
                .map_err(|_| ErrorKind::Local("its credentials hold characters that no header may".into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let name = ask.host.name.clone();
        request.send().await.map_err(|error| {
            let to = if own { String::new() } else { format!("redirected by {name}: ") };
            ErrorKind::Unreachable(format!("{to}{}", chain(&error.without_url())))
        })
    }

    /// Plain HTTP goes to hosts that are allowed by name, and from a registry on this machine to this machine.
    pub(crate) fn allowed(&self, host: &Host, url: &Url) -> Result<(), ErrorKind> {
        let target = authority(url);
        let by_name = self.known().get(&target).is_some_and(|settings| settings.plain_http);
        let local = is_loopback(&target) && is_loopback(&host_authority(host));
        match url.scheme() {
            "https" => Ok(()),
            "http" if by_name || local => Ok(()),
            _ => Err(ErrorKind::Forbidden(format!(
                "it sends us to {}://{target}, which is not encrypted",
                url.scheme()
            ))),
        }
    }
}

/// Same scheme, host and port: only there do its credentials go.
fn is_own(host: &Host, url: &Url) -> bool {
    host.base.origin() == url.origin()
}

/// Seconds or a date (RFC 9110, "Retry-After").
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds.min(24 * 3600)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(Duration::from_secs(24 * 3600)))
}

/// Reads a body whole, up to a limit of size and one of time.
pub(crate) async fn read_limited(response: Response, limit: usize) -> Result<Bytes, ErrorKind> {
    let reading = tokio::time::timeout(SMALL, read_whole(response, limit));
    reading.await.unwrap_or_else(|_| Err(ErrorKind::Unreachable("the answer takes too long".into())))
}

async fn read_whole(mut response: Response, limit: usize) -> Result<Bytes, ErrorKind> {
    let too_large = || ErrorKind::TooLarge { limit: limit as u64 };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk
            .map_err(|error| ErrorKind::Unreachable(format!("cut short: {}", chain(&error.without_url()))))?;
        let Some(chunk) = chunk else { return Ok(bytes.freeze()) };
        if bytes.len() + chunk.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Whether an answer is a page for people.
pub(crate) fn is_html(response: &Response) -> bool {
    let content_type =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("text/html")
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

async fn refusal(response: Response) -> ErrorKind {
    let status = response.status();
    if is_html(&response) && (status == 404 || status == 405 || status.is_redirection()) {
        return ErrorKind::NotARegistry(format!("{status} with an HTML page"));
    }
    let body = read_limited(response, MAX_ERROR).await.unwrap_or_default();
    let first =
        serde_json::from_slice::<Errors>(&body).ok().and_then(|errors| errors.errors.into_iter().next());
    let (code, message) = first.map_or_else(Default::default, |error| (error.code, error.message));
    let message: String = message.chars().filter(|c| !c.is_control()).take(500).collect();
    match status.as_u16() {
        404 => ErrorKind::NotFound,
        401 => ErrorKind::Unauthorized(if message.is_empty() { "401".into() } else { message }),
        403 => ErrorKind::Unauthorized(if message.is_empty() { "403".into() } else { message }),
        status => ErrorKind::Refused { status, code, message },
    }
}
