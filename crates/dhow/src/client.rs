//! A small client of the API, for the commands that speak to a running `dhow serve`.

mod lines;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_web::Outcome;
use dhow_web::shape::ErrorBody;
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use lines::Lines;

/// Most bytes of an answer: a status of thousands of deployments fits many times.
const MAX_ANSWER: usize = 64 << 20;
/// Most bytes of a file with a token.
const MAX_TOKEN: u64 = 4 << 10;

/// Where the API is, and with which token
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Connection {
    /// Address of the API, as in `https://dhow.acme.dev`; the token is read from DHOW_TOKEN
    #[arg(long, env = "DHOW_URL", value_name = "URL", value_parser = address, help_heading = "Connection")]
    url: Option<Url>,
    /// File that holds the token, in place of DHOW_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,
    /// State directory of `dhow serve` on this host: address and admin token are read from there
    #[arg(long, env = "DHOW_STATE", value_name = "DIR", help_heading = "Connection")]
    state: Option<PathBuf>,
    /// Send the token over plain HTTP to another host: whoever is on the way can read it
    #[arg(long, env = "DHOW_PLAIN_HTTP", help_heading = "Connection")]
    plain_http: bool,
}

/// An address as people give it.
pub fn address(text: &str) -> Result<Url, String> {
    let example = "expected an address such as https://dhow.acme.dev or http://127.0.0.1:8080";
    if text.trim().is_empty() {
        return Err(format!("it is empty: {example}, or unset it"));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| example.to_owned())
}

/// Which service in which environment
#[derive(Debug, Clone, clap::Args)]
pub struct Scope {
    /// Service
    pub service: ServiceName,
    /// Environment
    pub environment: EnvironmentName,
}

/// A connection to the API.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

impl Connection {
    /// A client of the API that the options and `DHOW_TOKEN` name. Nothing is sent yet.
    ///
    /// # Errors
    /// There is no address or no token; the address is plain HTTP on another host.
    pub fn client(&self) -> anyhow::Result<Client> {
        let token = std::env::var("DHOW_TOKEN").ok().filter(|t| !t.trim().is_empty());
        self.client_with(token.map(SecretString::from))
    }

    fn client_with(&self, token: Option<SecretString>) -> anyhow::Result<Client> {
        let base = self.base()?;
        let token = self.token(token)?;
        // What a state directory on this host says listens on this host, whatever its address.
        let local = is_loopback(&base) || self.url.is_none();
        ensure!(
            base.scheme() == "https" || local || self.plain_http,
            "{base} is plain HTTP on another host: the token could be read on the way. \
             Use https://, or give --plain-http where the network is yours"
        );
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")));
        if local {
            http = http.no_proxy();
        }
        if local && base.scheme() == "http" {
            // The machine's certificates are many, and need not be read.
            http = http.tls_certs_only([]);
        }
        Ok(Client { http: http.build().context("cannot make an HTTP client")?, base, token })
    }

    fn base(&self) -> anyhow::Result<Url> {
        if let Some(url) = &self.url {
            let usable = matches!(url.scheme(), "http" | "https") && url.host().is_some();
            ensure!(usable, "{url} is no address of an API; expected http:// or https:// and a host");
            return Ok(url.clone());
        }
        let Some(state) = &self.state else {
            bail!(
                "where is dhow? Set DHOW_URL (or --url) to its address and DHOW_TOKEN to a token, \
                 or give --state DIR on the host where `dhow serve` runs"
            );
        };
        let path = state.join("listen");
        let text = read(&path).with_context(|| {
            format!("`dhow serve` seems not to run on the state {}: start it, or give --url", state.display())
        })?;
        let mut address: SocketAddr =
            text.trim().parse().with_context(|| format!("{} holds no address", path.display()))?;
        if address.ip().is_unspecified() {
            let ip: IpAddr =
                if address.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() };
            address.set_ip(ip);
        }
        Url::parse(&format!("http://{address}")).context("the listening address makes no URL")
    }

    /// The nearest wins: `--token-file`, then `DHOW_TOKEN`, then the state's admin token.
    fn token(&self, from_environment: Option<SecretString>) -> anyhow::Result<SecretString> {
        let path = match (&self.token_file, from_environment, &self.state) {
            (Some(file), ..) => file.clone(),
            (None, Some(token), _) => return clean(token.expose_secret()),
            (None, None, Some(state)) => state.join("admin.token"),
            (None, None, None) => {
                bail!("there is no token: set DHOW_TOKEN, or give --token-file FILE or --state DIR")
            }
        };
        let text = read(&path).context("cannot read the token; does this user own the file?")?;
        clean(&text).with_context(|| format!("{} holds no token", path.display()))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(shown)?.len();
    ensure!(size <= MAX_TOKEN, "{} has {size} bytes, which is too many", path.display());
    std::fs::read_to_string(path).with_context(shown)
}

fn clean(text: &str) -> anyhow::Result<SecretString> {
    let token = text.trim();
    let visible = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    ensure!(visible, "a token is one line of visible characters");
    Ok(SecretString::from(token))
}

/// Whether an address is this machine's own.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

impl Client {
    /// Reads a resource. `path` is below `/api/v1`.
    ///
    /// # Errors
    /// Nothing answers; the answer is an error, whose message it is; the answer is not what the API gives.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        self.json(self.request(Method::GET, path)?.query(query)).await
    }

    /// Asks for an action on a service in an environment.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn act(&self, verb: &str, scope: &Scope, body: &impl Serialize) -> anyhow::Result<Outcome> {
        self.post(&[verb, scope.service.as_str(), scope.environment.as_str()], body).await
    }

    /// Sends a body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> anyhow::Result<T> {
        self.json(self.request(Method::POST, path)?.json(body)).await
    }

    /// Removes what the query names.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Outcome> {
        self.json(self.request(Method::DELETE, path)?.query(query)).await
    }

    /// Follows the events of a service in an environment. The answer goes on until one side ends it.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn follow(&self, scope: &Scope) -> anyhow::Result<Response> {
        let query = [("service", scope.service.as_str()), ("environment", scope.environment.as_str())];
        self.answer(self.request(Method::GET, &["events"])?.query(&query)).await
    }

    /// Reads an answer that goes on, one document a line.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn lines(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Lines> {
        Ok(Lines::new(self.answer(self.request(Method::GET, path)?.query(query)).await?))
    }

    /// Sends a body whose answer goes on, one document a line.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_lines(&self, path: &[&str], body: &impl Serialize) -> anyhow::Result<Lines> {
        Ok(Lines::new(self.answer(self.request(Method::POST, path)?.json(body)).await?))
    }

    fn request(&self, method: Method, path: &[&str]) -> anyhow::Result<RequestBuilder> {
        let mut url = self.base.clone();
        {
            let Ok(mut segments) = url.path_segments_mut() else {
                bail!("{} is no address of an API", self.base)
            };
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        Ok(self.http.request(method, url).bearer_auth(self.token.expose_secret()))
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Err(anyhow::Error::new(error).context(format!(
                    "cannot connect to {}. Does `dhow serve` run there? DHOW_URL or --url says where it is; \
                     --state DIR finds it on this host",
                    self.base
                )));
            }
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("{} does not answer", self.base)));
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = limited(response).await.unwrap_or_default();
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => bail!("{}", body.error.message),
            Err(_) => bail!("{} answered {status}, and not as dhow does; is this its address?", self.base),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = self.answer(request.timeout(Duration::from_secs(120))).await?;
        let bytes = limited(response).await?;
        serde_json::from_slice(&bytes).with_context(|| {
            format!("{} did not answer as dhow does; is this its address and version?", self.base)
        })
    }
}

async fn limited(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer was cut off")? {
        ensure!(
            bytes.len() + chunk.len() <= MAX_ANSWER,
            "the answer is larger than {} MiB",
            MAX_ANSWER >> 20
        );
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn connection(url: &str) -> Connection {
        Connection { url: Some(url.parse().unwrap()), ..Connection::default() }
    }

    fn token() -> Option<SecretString> {
        Some(SecretString::from("dhow_x"))
    }

    /// Answers one request with this and returns the request's head.
    async fn serve_once(answer: &'static str) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/behind/", listener.local_addr().unwrap()).parse().unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 8192];
            let n = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..n]).into_owned()
        });
        (url, task)
    }

    #[tokio::test]
    async fn the_token_goes_in_the_header_and_names_are_segments_of_the_path() {
        let body = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"message\":\"ok\"}";
        let (url, task) = serve_once(body).await;
        let client = Connection { url: Some(url), ..Connection::default() }.client_with(token()).unwrap();
        let scope = Scope { service: "shop".parse().unwrap(), environment: "stage".parse().unwrap() };
        let outcome = client.act("sync", &scope, &serde_json::json!({})).await.unwrap();
        assert_eq!(outcome.message, "ok");
        let head = task.await.unwrap();
        assert!(head.starts_with("POST /behind/api/v1/sync/shop/stage HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains("authorization: bearer dhow_x"), "{head}");
    }

    #[tokio::test]
    async fn an_error_of_the_api_is_told_in_its_own_words_and_others_name_the_address() {
        let refused = "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n\
                       {\"error\":{\"code\":\"refused\",\"message\":\"the window is closed\"}}";
        let page = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n\r\n<html>";
        for (answer, expected) in [(refused, "the window is closed"), (page, "not as dhow does")] {
            let (url, _task) = serve_once(answer).await;
            let client = Connection { url: Some(url), ..Connection::default() }.client_with(token()).unwrap();
            let error = client.get::<Outcome>(&["status"], &[]).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_says_that_serve_may_not_run_and_what_to_set() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = connection(&url).client_with(token()).unwrap();
        let error = client.get::<Outcome>(&["status"], &[]).await.unwrap_err().to_string();
        assert!(error.contains("dhow serve") && error.contains("DHOW_URL"), "{error}");
    }

    #[test]
    fn the_state_directory_gives_address_and_token() {
        let dir = tempfile::tempdir().unwrap();
        let here = Connection { state: Some(dir.path().to_owned()), ..Connection::default() };
        let error = format!("{:#}", here.client_with(None).err().unwrap());
        assert!(error.contains("seems not to run"), "{error}");
        std::fs::write(dir.path().join("listen"), "0.0.0.0:8080\n").unwrap();
        std::fs::write(dir.path().join("admin.token"), "dhow_admin\n").unwrap();
        let client = here.client_with(None).unwrap();
        assert_eq!(client.base.as_str(), "http://127.0.0.1:8080/");
        assert_eq!(client.token.expose_secret(), "dhow_admin");
        assert_eq!(here.client_with(token()).unwrap().token.expose_secret(), "dhow_x");
        let file = dir.path().join("mine");
        std::fs::write(&file, "dhow_file").unwrap();
        let near = Connection { token_file: Some(file), ..here };
        assert_eq!(near.client_with(token()).unwrap().token.expose_secret(), "dhow_file");
    }

    #[test]
    fn a_token_is_not_sent_over_plain_http_to_another_host_unless_told_so() {
        assert!(connection("http://dhow.acme.dev").client_with(token()).is_err());
        assert!(connection("ftp://dhow.acme.dev").client_with(token()).is_err());
        for good in ["https://dhow.acme.dev", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(connection(good).client_with(token()).is_ok(), "{good}");
        }
        let told = Connection { plain_http: true, ..connection("http://dhow.acme.dev") };
        assert!(told.client_with(token()).is_ok());
    }

    #[test]
    fn a_state_directory_is_of_this_host_whatever_address_it_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("listen"), "10.0.0.7:8080\n").unwrap();
        let here = Connection { state: Some(folder.path().into()), ..Connection::default() };
        assert!(here.client_with(token()).is_ok());
    }

    #[test]
    fn without_an_address_or_a_token_the_message_says_what_to_set() {
        let error = Connection::default().client_with(token()).err().unwrap().to_string();
        assert!(error.contains("DHOW_URL") && error.contains("--state"), "{error}");
        let error = connection("http://127.0.0.1:1").client_with(None).err().unwrap().to_string();
        assert!(error.contains("DHOW_TOKEN"), "{error}");
    }
}
