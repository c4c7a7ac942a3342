use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dhow_core::noun::Digest;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

/// A registry in memory that takes what is pushed.
pub struct Registry {
    pub address: SocketAddr,
    content: Arc<Content>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Content {
    blobs: Mutex<BTreeMap<String, Bytes>>,
    /// By repository and tag or digest: media type and bytes.
    manifests: Mutex<BTreeMap<(String, String), (String, Bytes)>>,
    uploads: Mutex<BTreeMap<String, Vec<u8>>>,
    /// `Basic ...` that a read of private repositories needs.
    wanted: Mutex<Option<String>>,
    /// Logins that were shown.
    shown: Mutex<Vec<String>>,
}

impl Registry {
    pub async fn start() -> Self {
        Self::start_at(std::net::Ipv4Addr::LOCALHOST).await
    }

    /// The same, at an address that other machines reach.
    pub async fn start_at(address: std::net::Ipv4Addr) -> Self {
        let content = Arc::new(Content::default());
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&content));
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, content, _task: AbortOnDropHandle::new(task) }
    }

    /// What a tag points at.
    pub fn digest(&self, repository: &str, tag: &str) -> Digest {
        let manifests = self.content.manifests.lock().unwrap();
        Digest::of(&manifests[&(repository.to_owned(), tag.to_owned())].1)
    }

    /// The same image, said to be of another architecture.
    pub fn as_architecture(&self, repository: &str, tag: &str, architecture: &str) -> Digest {
        let mut manifests = self.content.manifests.lock().unwrap();
        let (media, bytes) = manifests[&(repository.to_owned(), tag.to_owned())].clone();
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let mut blobs = self.content.blobs.lock().unwrap();
        let config = &blobs[manifest["config"]["digest"].as_str().unwrap()];
        let mut config: Value = serde_json::from_slice(config).unwrap();
        config["architecture"] = architecture.into();
        let config = serde_json::to_vec(&config).unwrap();
        let digest = Digest::of(&config);
        manifest["config"]["size"] = config.len().into();
        manifest["config"]["digest"] = digest.to_string().into();
        blobs.insert(digest.to_string(), config.into());
        let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
        let digest = Digest::of(&bytes);
        manifests.insert((repository.to_owned(), digest.to_string()), (media, bytes));
        digest
    }

    /// From now on nobody reads without this login.
    pub fn lock(&self, basic: Option<&str>) {
        *self.content.wanted.lock().unwrap() = basic.map(str::to_owned);
    }

    /// Logins that were shown so far.
    pub fn shown(&self) -> Vec<String> {
        self.content.shown.lock().unwrap().clone()
    }
}

async fn answer(State(content): State<Arc<Content>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let login = parts.headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned());
    content.shown.lock().unwrap().extend(login.clone());
    let wanted = content.wanted.lock().unwrap().clone();
    if wanted.is_some() && wanted != login {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")])
            .into_response();
    }
    let path = parts.uri.path().trim_start_matches("/v2/").to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    if let Some((repository, reference)) = path.split_once("/manifests/") {
        return manifest(&content, &parts.method, &parts.headers, repository, reference, bytes);
    }
    if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
        return upload(&content, &parts.method, repository, rest, &query, &bytes);
    }
    if let Some((_, digest)) = path.split_once("/blobs/") {
        return match content.blobs.lock().unwrap().get(digest) {
            Some(blob) => ([(header::CONTENT_LENGTH, blob.len().to_string())], blob.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    StatusCode::OK.into_response()
}

fn manifest(
    content: &Content,
    method: &Method,
    headers: &axum::http::HeaderMap,
    repository: &str,
    reference: &str,
    bytes: Bytes,
) -> Response {
    let mut manifests = content.manifests.lock().unwrap();
    let key = |reference: &str| (repository.to_owned(), reference.to_owned());
    if method == Method::PUT {
        let media = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let digest = Digest::of(&bytes).to_string();
        manifests.insert(key(reference), (media.clone(), bytes.clone()));
        manifests.insert(key(&digest), (media, bytes));
        return (StatusCode::CREATED, [("Docker-Content-Digest", digest)]).into_response();
    }
    match manifests.get(&key(reference)) {
        Some((media, bytes)) => {
            let digest = Digest::of(bytes).to_string();
            let headers = [
                ("Content-Type", media.clone()),
                ("Docker-Content-Digest", digest),
                ("Content-Length", bytes.len().to_string()),
            ];
            (headers, bytes.clone()).into_response()
        }
        None => {
            let told = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/json")], told).into_response()
        }
    }
}

fn upload(
    content: &Content,
    method: &Method,
    repository: &str,
    id: &str,
    query: &str,
    bytes: &[u8],
) -> Response {
    let mut uploads = content.uploads.lock().unwrap();
    let id = if id.is_empty() { format!("u{}", uploads.len()) } else { id.to_owned() };
    uploads.entry(id.clone()).or_default().extend(bytes);
    let location = format!("/v2/{repository}/blobs/uploads/{id}");
    let range = format!("0-{}", uploads[&id].len().saturating_sub(1));
    if *method != Method::PUT {
        return (StatusCode::ACCEPTED, [("Location", location), ("Range", range)]).into_response();
    }
    let blob = uploads.get(&id).cloned().unwrap_or_default();
    let digest = Digest::of(&blob).to_string();
    assert!(query.contains(&digest.replace(':', "%3A")) || query.contains(&digest), "{query}");
    content.blobs.lock().unwrap().insert(digest.clone(), blob.into());
    let location = format!("/v2/{repository}/blobs/{digest}");
    (StatusCode::CREATED, [("Location", location), ("Docker-Content-Digest", digest)]).into_response()
}
