//! A registry and a Git remote over HTTP, as far away as real ones: every answer comes later, and every call is counted.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse as _;
use dhow_core::noun::Digest;
use dhow_registry::media::OCI_MANIFEST;
use futures::FutureExt as _;

use super::{Bundle, git};

/// How much later every answer comes.
pub const LATENCY: Duration = Duration::from_millis(5);
/// Largest body of a request, such as a push.
const BODY: usize = 256 << 20;

/// Calls since they were last forgotten.
#[derive(Debug, Default, Clone)]
pub struct Calls {
    /// How many of each kind.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// When the registry answered the last one.
    pub last: Option<Instant>,
}

#[derive(Debug, Default)]
struct Stock {
    tags: HashMap<String, Vec<(String, Digest)>>,
    bundles: HashMap<Digest, Bundle>,
    blobs: HashMap<Digest, bytes::Bytes>,
}

/// The server; it ends with the process.
#[derive(Debug)]
pub struct Remote {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    stock: Mutex<Stock>,
    calls: Mutex<Calls>,
}

impl Remote {
    /// Serves the repositories of a folder, and whatever is put into the registry.
    pub async fn start(root: PathBuf) -> Result<Self> {
        let inner = Arc::new(Inner { root, stock: Mutex::default(), calls: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, inner })
    }

    /// Gives a repository a tag more.
    pub fn put(&self, repository: &str, tag: &str, bundle: &Bundle) {
        let mut stock = self.inner.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.tags.entry(repository.to_owned()).or_default().push((tag.to_owned(), bundle.digest));
        stock.blobs.extend(bundle.blobs.iter().cloned());
        stock.bundles.insert(bundle.digest, bundle.clone());
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        *self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner) = Calls::default();
    }

    /// The calls since.
    pub fn calls(&self) -> Calls {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    tokio::time::sleep(LATENCY).await;
    let path = request.uri().path().to_owned();
    let (kind, response) = if path.starts_with("/v2/") {
        inner.registry(&path)
    } else {
        let (parts, body) = request.into_parts();
        let answered = axum::body::to_bytes(body, BODY)
            .then(async |body| {
                let query = parts.uri.query().unwrap_or_default();
                git::answer(&inner.root, &parts.method, &path, query, &parts.headers, body?).await
            })
            .await;
        let failed =
            |error: anyhow::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        ("git", answered.unwrap_or_else(failed))
    };
    let mut calls = inner.calls.lock().unwrap_or_else(PoisonError::into_inner);
    *calls.by_kind.entry(kind).or_default() += 1;
    // The fleet's head is asked for all the time.
    if kind != "git" {
        calls.last = Some(Instant::now());
    }
    response
}

impl Inner {
    /// What of the distribution specification a reader needs.
    fn registry(&self, path: &str) -> (&'static str, Response<Body>) {
        let missing = |kind| (kind, StatusCode::NOT_FOUND.into_response());
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        let name = path.trim_start_matches("/v2/");
        if let Some(repository) = name.strip_suffix("/tags/list") {
            let Some(tags) = stock.tags.get(repository) else { return missing("tags") };
            let names: Vec<&str> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
            let list = serde_json::json!({ "name": repository, "tags": names });
            return ("tags", axum::Json(list).into_response());
        }
        if let Some((repository, reference)) = name.split_once("/manifests/") {
            let tagged = || {
                stock
                    .tags
                    .get(repository)?
                    .iter()
                    .find(|(tag, _)| tag == reference)
                    .map(|(_, digest)| *digest)
            };
            let found =
                reference.parse().ok().or_else(tagged).and_then(|digest: Digest| stock.bundles.get(&digest));
            let Some(bundle) = found else { return missing("manifests") };
            let mut response = bundle.manifest.clone().into_response();
            let headers = response.headers_mut();
            headers.insert("content-type", HeaderValue::from_static(OCI_MANIFEST));
            if let Ok(digest) = HeaderValue::from_str(&bundle.digest.to_string()) {
                headers.insert("docker-content-digest", digest);
            }
            return ("manifests", response);
        }
        if let Some((_, digest)) = name.split_once("/blobs/") {
            let blob = digest.parse().ok().and_then(|digest: Digest| stock.blobs.get(&digest));
            return blob.map_or_else(|| missing("blobs"), |blob| ("blobs", blob.clone().into_response()));
        }
        ("version", "{}".into_response())
    }
}
