//! The target over a real disk and a real web server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::{Deployment, DeploymentSettings, MemoryTree};
use dhow_core::noun::{ArtifactName, Pin, SourceLabels, Tag};
use dhow_core::port::{Context, Executor, ExecutorError, Executors, Place, RenderInput, Step, Target};
use dhow_static::{Resources, Sites, StaticTarget, StaticTargetConfig};
use dhow_testkit::MemorySource;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fixture::{archive, file, hash, id};
use crate::http::get;

pub const FOLDER: &str = "services/shop/static_file/stage";

/// A fleet without servers.
pub struct NoServers;

#[async_trait]
impl Executors for NoServers {
    async fn at(&self, place: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        Err(ExecutorError::Refused(format!("the fleet has no server {place}")))
    }
}

/// Another process over the same folders is another [`Bench::reopen`].
pub struct Bench {
    pub target: Arc<StaticTarget>,
    pub source: Arc<MemorySource>,
    pub sites: Sites,
    pub address: SocketAddr,
    pub dir: Arc<TempDir>,
    pub _stop: tokio_util::sync::DropGuard,
}

impl Bench {
    pub async fn new() -> Self {
        Self::over(Arc::new(TempDir::new().unwrap()), Arc::default()).await
    }

    pub async fn over(dir: Arc<TempDir>, source: Arc<MemorySource>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, sites) = (listener.local_addr().unwrap(), Sites::default());
        let (root, candidates) = (dir.path().join("state"), dir.path().join("c"));
        let executors = Arc::new(NoServers);
        let config = StaticTargetConfig {
            root,
            candidates,
            sites: sites.clone(),
            sites_address: address,
            resources: Resources::default(),
            executors,
        };
        let target = Arc::new(StaticTarget::open(config).await.unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(dhow_static::web::serve(listener, sites.clone(), 100, stop.clone()));
        Self { target, source, sites, address, dir, _stop: stop.drop_guard() }
    }

    /// As after a crash and a new start.
    pub async fn reopen(&self) -> Self {
        Self::over(self.dir.clone(), self.source.clone()).await
    }

    /// What a rollout of this bundle runs under.
    pub async fn bundle(&self, version: &str, content: Vec<u8>, settings: DeploymentSettings) -> Context {
        let (repository, tag) = ("ghcr.io/acme/shop-web".parse().unwrap(), Tag::new(version).unwrap());
        let digest = self.source.put(&repository, &tag, SourceLabels::default(), content);
        let settings =
            DeploymentSettings { bundle: Some("ghcr.io/acme/shop-web".parse().unwrap()), ..settings };
        let pin = Pin { repository, tag: Some(tag), digest };
        let pins = BTreeMap::from([(ArtifactName::new("web").unwrap(), pin)]);
        self.context(version, &[], settings, pins).await
    }

    pub async fn site(&self, version: &str) -> Context {
        self.bundle(version, archive(&[file("index.html", version)]), DeploymentSettings::default()).await
    }

    pub async fn context(
        &self,
        version: &str,
        files: &[(&str, &str)],
        settings: DeploymentSettings,
        pins: BTreeMap<ArtifactName, Pin>,
    ) -> Context {
        let files: Vec<_> = files.iter().map(|(path, text)| (format!("{FOLDER}/{path}"), *text)).collect();
        let deployment = deployment(files.iter().map(|(path, _)| path.clone()).collect(), settings);
        let tree = Arc::new(MemoryTree::new(files));
        let input = RenderInput { deployment, tree: tree.clone(), pins };
        Context {
            rendered: Arc::new(self.target.render(input).await.unwrap()),
            hash: hash(version).hex().parse().unwrap(),
            tree: Some(tree),
            rollout: 1,
            epoch: 1,
            bundles: self.source.clone(),
            keep: Vec::new(),
            log: Arc::new(()),
        }
    }

    pub async fn plan(&self, context: &Context) -> Vec<Step> {
        let observed = self.target.observe(&context.rendered, &Place::Local).await.unwrap();
        self.target.plan(&context.rendered, &context.hash, &Place::Local, &observed)
    }

    pub async fn roll_out(&self, context: &Context) {
        for step in self.plan(context).await {
            self.target.execute(&step, context).await.unwrap_or_else(|error| panic!("{}: {error}", step.key));
        }
    }

    pub async fn body(&self) -> Option<String> {
        let answer = get(self.address, "/", "").await;
        (answer.status == 200).then(|| answer.text().to_owned())
    }
}

pub fn deployment(files: Vec<String>, settings: DeploymentSettings) -> Arc<Deployment> {
    Arc::new(Deployment {
        sites: Vec::new(),
        id: id(),
        folder: FOLDER.into(),
        spelled_environment: "stage".into(),
        files,
        dependencies: Vec::new(),
        settings,
    })
}

pub fn hosts(host: &str) -> DeploymentSettings {
    DeploymentSettings { hosts: vec![host.into()], ..DeploymentSettings::default() }
}
