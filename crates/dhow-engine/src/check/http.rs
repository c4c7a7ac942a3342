//! An HTTP request as a check: HTTP/1.1, over TLS where the address speaks it; redirects are not followed.

use std::collections::BTreeMap;

use bytes::Bytes;
use dhow_core::port::CheckAddress;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};

use super::answer::{Deadline, beginning};
use super::connect::connect;
use super::tls;

/// Bytes of a body that are searched.
const SEARCHED: usize = 1024 * 1024;

/// Bytes of a body that are read only to be told.
const TOLD: usize = 4 * 1024;

/// What the answer must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its status.
    pub(super) status: u16,
    /// Text in its body.
    pub(super) contains: Option<&'a str>,
}

/// The request of a check: Host and path come from the URL, in which `{host}` is replaced.
pub(super) fn request(
    url: &str,
    host: &str,
    headers: &BTreeMap<String, String>,
) -> Result<Request<Empty<Bytes>>, String> {
    let url = url.replace("{host}", host);
    let parsed = Url::parse(&url).map_err(|error| format!("the check's URL {url:?} is not one: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("the check's URL {url:?} must begin with http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("the check's URL has a user name or a password in it; send a header instead".to_owned());
    }
    let mut request = Request::get(&parsed[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &parsed[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, "dhow")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("the check's URL {url:?} cannot be asked for: {error}"))?;
    for (name, value) in headers {
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (key, value) = parsed.ok_or_else(|| format!("the check's header {name:?} cannot be sent"))?;
        request.headers_mut().insert(key, value);
    }
    Ok(request)
}

/// Sends the request, and compares the answer.
pub(super) async fn probe(
    request: Result<Request<Empty<Bytes>>, String>,
    wanted: Wanted<'_>,
    address: &CheckAddress,
    deadline: Deadline,
) -> Result<(), String> {
    let request = request?;
    let mut stream = connect(address, deadline).await?;
    if matches!(address, CheckAddress::Tls(_)) {
        stream = Box::new(tls::begin(stream, &host_of(&request), deadline).await?);
    }
    let (mut sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| format!("no HTTP there: {error}"))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = deadline
        .wait(sender.send_request(request))
        .await
        .ok_or_else(|| format!("no answer within {}", deadline.words()))?
        .map_err(|error| format!("no answer that is HTTP: {}", chain(&error)))?;
    if response.status().as_u16() != wanted.status {
        return Err(wrong_status(response, wanted.status, deadline).await);
    }
    match wanted.contains {
        Some(text) => search(response.into_body(), text, deadline).await,
        None => Ok(()),
    }
}

/// The host that a request asks for, without its port.
fn host_of(request: &Request<Empty<Bytes>>) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    host.map(|host| host.host().trim_matches(['[', ']']).to_owned()).unwrap_or_default()
}

/// The answer about a status that is not the wanted one.
async fn wrong_status(response: Response<Incoming>, wanted: u16, deadline: Deadline) -> String {
    let mut answer = format!("status {}, expected {wanted}", name(response.status()));
    if response.status().is_redirection()
        && let Some(location) = response.headers().get(LOCATION)
    {
        let location = beginning(location.as_bytes());
        answer += &format!("; it redirects to {location}, which is not followed");
    }
    let mut body = Body::new(response.into_body(), TOLD);
    // The status is the news: whatever came of the body in time is enough.
    let _ = deadline.wait(body.read_until(None)).await;
    if !body.read.is_empty() {
        answer += &format!("; body: {}", beginning(&body.read));
    }
    answer
}

fn name(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Succeeds as soon as the text has come.
async fn search(body: Incoming, text: &str, deadline: Deadline) -> Result<(), String> {
    let mut body = Body::new(body, SEARCHED);
    let ended = deadline.wait(body.read_until(Some(text.as_bytes()))).await;
    let (length, told) = (body.read.len(), beginning(&body.read));
    match ended {
        Some(Ok(End::Found)) => Ok(()),
        Some(Ok(End::Whole)) => Err(format!("no {text:?} in the body of {length} bytes: {told}")),
        Some(Ok(End::Full)) => Err(format!("no {text:?} in the first {length} bytes of the body: {told}")),
        Some(Err(error)) => Err(format!(
            "the body broke off after {length} bytes, without {text:?}: {}; {told}",
            chain(&error)
        )),
        None => {
            let time = deadline.words();
            Err(format!("no {text:?} in the {length} bytes of the body that came within {time}: {told}"))
        }
    }
}

/// An error of hyper with its causes.
fn chain(error: &hyper::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |all, cause| format!("{all}: {cause}"))
}

/// A body, and what was read of it.
struct Body {
    incoming: Incoming,
    read: Vec<u8>,
    limit: usize,
}

/// Why reading ended.
enum End {
    /// The text is in it.
    Found,
    /// All is read.
    Whole,
    /// The limit is reached.
    Full,
}

impl Body {
    fn new(incoming: Incoming, limit: usize) -> Self {
        Self { incoming, read: Vec::new(), limit }
    }

    async fn read_until(&mut self, text: Option<&[u8]>) -> hyper::Result<End> {
        if text.is_some_and(<[u8]>::is_empty) {
            return Ok(End::Found);
        }
        while self.read.len() < self.limit {
            let Some(frame) = self.incoming.frame().await.transpose()? else { return Ok(End::Whole) };
            let Ok(data) = frame.into_data() else { continue };
            let before = self.read.len();
            let room = self.limit - before;
            self.read.extend_from_slice(data.get(..room).unwrap_or(&data));
            // The text may have begun at the end of what was there.
            let found = text.is_some_and(|text| {
                let unseen = &self.read[before.saturating_sub(text.len() - 1)..];
                unseen.windows(text.len()).any(|window| window == text)
            });
            if found {
                return Ok(End::Found);
            }
        }
        Ok(End::Full)
    }
}
