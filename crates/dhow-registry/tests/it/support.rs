//! A registry on a port of its own, and raw calls to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dhow_core::noun::{Digest, Repository};
use dhow_registry::client::{Client, Credentials, DockerConfig, HostSettings, Settings as ClientSettings};
use dhow_registry::media::{EMPTY, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use dhow_registry::server::{
    Action, Authorizer, Decision, InUse, InUseUnknown, Open, Presented, Registry, Settings, TagListener,
    TagWritten, router,
};
use reqwest::{Method, Response};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Any user name with this password may do everything; others may read `public/`.
pub const TOKEN: &str = "dhow-test-token";

pub struct Tokens;

#[async_trait]
impl Authorizer for Tokens {
    async fn authorize(&self, presented: &Presented, repository: Option<&str>, action: Action) -> Decision {
        let token = match presented {
            Presented::Basic { password, .. } => password.expose_secret(),
            Presented::Bearer(token) => token.expose_secret(),
            Presented::Anonymous => "",
        };
        let public = action == Action::Pull && repository.is_some_and(|name| name.starts_with("public/"));
        match token {
            TOKEN => Decision::Allow,
            "reader"
                if action == Action::Pull && repository.is_none_or(|name| !name.starts_with("secret/")) =>
            {
                Decision::Allow
            }
            "reader" if repository.is_some_and(|name| name.starts_with("mine/")) => Decision::Allow,
            "reader" => Decision::Forbidden("this token may only read".into()),
            _ if public => Decision::Allow,
            _ => Decision::Unauthenticated,
        }
    }
}

pub struct Used(pub Mutex<Result<BTreeMap<Digest, String>, String>>);

impl Default for Uses {
    fn default() -> Self {
        Self(Arc::new(Used(Mutex::new(Ok(BTreeMap::new())))))
    }
}

#[derive(Clone)]
pub struct Uses(pub Arc<Used>);

impl Uses {
    pub fn add(&self, digest: Digest, why: &str) {
        self.0.0.lock().unwrap().as_mut().unwrap().insert(digest, why.into());
    }
    pub fn fail(&self) {
        *self.0.0.lock().unwrap() = Err("the store does not answer".into());
    }
}

#[async_trait]
impl InUse for Used {
    async fn digests(&self) -> Result<BTreeMap<Digest, String>, InUseUnknown> {
        self.0.lock().unwrap().clone().map_err(InUseUnknown)
    }
}

#[derive(Default)]
pub struct Heard(pub Mutex<Vec<TagWritten>>);

impl TagListener for Heard {
    fn tag_written(&self, event: TagWritten) {
        self.0.lock().unwrap().push(event);
    }
}

pub struct Server {
    pub address: String,
    pub registry: Registry,
    pub root: TempDir,
    pub uses: Uses,
    pub heard: Arc<Heard>,
    pub http: reqwest::Client,
    pub token: Option<&'static str>,
}

pub async fn serve(app: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

impl Server {
    pub async fn open() -> Self {
        Self::with(Arc::new(Open), |_| {}).await
    }

    pub async fn guarded() -> Self {
        Self::with(Arc::new(Tokens), |_| {}).await
    }

    pub async fn with(authorizer: Arc<dyn Authorizer>, change: impl FnOnce(&mut Settings)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(root.path());
        change(&mut settings);
        let (uses, heard) = (Uses::default(), Arc::new(Heard::default()));
        let registry = Registry::open(settings, authorizer, uses.0.clone(), heard.clone()).unwrap();
        let address = serve(router(registry.clone())).await;
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().gzip(false).build().unwrap();
        Self { address, registry, root, uses, heard, http, token: None }
    }

    /// The same folder served by a process that knows nothing of the last one.
    pub async fn restarted(self) -> Self {
        let settings = Settings::new(self.root.path());
        let registry =
            Registry::open(settings, Arc::new(Open), self.uses.0.clone(), self.heard.clone()).unwrap();
        let address = serve(router(registry.clone())).await;
        Self { address, registry, ..self }
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let path = path.strip_prefix("/v2/").unwrap_or(path);
        let mut request = self.http.request(method, format!("http://{}/v2/{path}", self.address)).body(body);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn status(&self, method: Method, path: &str) -> u16 {
        self.call(method, path, &[], "").await.status().as_u16()
    }

    pub async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("{repository}/blobs/uploads/?digest={digest}");
        let response = self.call(Method::POST, &path, &[], bytes.to_vec()).await;
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        digest
    }

    pub async fn put(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &Value,
    ) -> Response {
        let path = format!("{repository}/manifests/{reference}");
        self.call(Method::PUT, &path, &[("content-type", media_type)], serde_json::to_vec(manifest).unwrap())
            .await
    }

    /// A whole image under a tag, unlike any other with another seed.
    pub async fn image(&self, repository: &str, tag: &str, seed: &str) -> Digest {
        let manifest = self.image_parts(repository, seed).await;
        let response = self.put(repository, tag, OCI_MANIFEST, &manifest).await;
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        digest_of(&manifest)
    }

    /// Pushes the blobs and gives the manifest.
    pub async fn image_parts(&self, repository: &str, seed: &str) -> Value {
        let config = json!({"config": {"Labels": {"org.opencontainers.image.revision": seed}}}).to_string();
        let layer = format!("layer {seed}");
        let config_digest = self.blob(repository, config.as_bytes()).await;
        let layer_digest = self.blob(repository, layer.as_bytes()).await;
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
        })
    }

    pub fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.address).parse().unwrap()
    }

    pub fn client(&self) -> Client {
        client(&self.address, self.token)
    }

    /// Files below the registry's folder.
    pub fn files(&self, below: &str) -> usize {
        fn count(path: &std::path::Path) -> usize {
            std::fs::read_dir(path).map_or(0, |entries| {
                entries
                    .map(|entry| entry.unwrap().path())
                    .map(|path| if path.is_dir() { count(&path) } else { 1 })
                    .sum()
            })
        }
        count(&self.root.path().join(below))
    }
}

pub fn client(address: &str, token: Option<&str>) -> Client {
    let credentials =
        token.map(|token| Credentials::Basic { user: "anyone".into(), password: token.to_owned().into() });
    Client::new(settings(address, credentials))
}

pub fn settings(address: &str, credentials: Option<Credentials>) -> ClientSettings {
    let mut settings = ClientSettings { docker_config: DockerConfig::Ignore, ..ClientSettings::default() };
    settings.hosts.insert(address.to_owned(), HostSettings { credentials, ..HostSettings::default() });
    settings
}

pub fn digest_of(manifest: &Value) -> Digest {
    Digest::of(&serde_json::to_vec(manifest).unwrap())
}

pub fn index_of(children: &[(Digest, usize)]) -> Value {
    let manifests: Vec<Value> = children
        .iter()
        .map(|(digest, size)| json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": "amd64"}}))
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
}

pub fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub async fn code(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
}

pub const EMPTY_TYPE: &str = EMPTY;
