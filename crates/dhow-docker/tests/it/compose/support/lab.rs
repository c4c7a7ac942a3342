use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dhow_core::fleet::{Deployment, DeploymentSettings, MemoryTree, Tree, desired_hash};
use dhow_core::noun::{Digest, Pin};
use dhow_core::port::{Context, Executors, Phase, Place, RenderInput, Step, Target, TargetError};
use dhow_docker::compose::{Anonymous, ComposeTarget, Logins, Options, Routes, Unrouted};
use dhow_testkit::MemorySource;
use dhow_testkit::engines::{self, Docker, Image, Parts};
use tempfile::TempDir;

use super::executor::{Local, Only};
use super::registry::Registry;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A deployment of its own on the engine, with a registry, and an empty home of Dhow.
pub struct Lab {
    pub docker: Docker,
    pub parts: Parts,
    pub registry: Registry,
    pub local: Arc<Local>,
    /// Where it runs, and how that is reached.
    pub place: Place,
    pub executors: Arc<dyn Executors>,
    pub service: String,
    pub port: u16,
    pub settings: DeploymentSettings,
    pub options: Options,
    pub routes: Arc<dyn Routes>,
    pub logins: Arc<dyn Logins>,
    pub folder: TempDir,
}

/// A release: files, and the version of the artifact `web`.
pub struct Release(pub Context);

impl Lab {
    /// None: the engines are not up, and that was said.
    pub async fn new() -> Option<Self> {
        let (docker, _, parts) = (engines::docker()?, engines::compose()?, engines::parts()?);
        Some(Self::on(docker, parts, Registry::start().await))
    }

    /// On an engine that takes images from this registry.
    pub fn on(docker: Docker, parts: Parts, registry: Registry) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let port = dhow_testkit::free_port(std::net::Ipv4Addr::LOCALHOST);
        let local = Arc::new(Local::new(folder.path().join("home")));
        Self {
            registry,
            place: Place::Local,
            executors: Arc::new(Only(Arc::clone(&local))),
            local,
            service: format!("t{}x{number}", std::process::id()),
            port,
            settings: DeploymentSettings::default(),
            options: Options {
                local_socket: docker.socket().to_string_lossy().into_owned(),
                docker_config: Some(docker.config.to_string_lossy().into_owned()),
                stable: Duration::from_millis(100),
                start: Duration::from_secs(20),
                allow_build: false,
                ..Options::default()
            },
            routes: Arc::new(Unrouted),
            logins: Arc::new(Anonymous),
            docker,
            parts,
            folder,
        }
    }

    pub fn project(&self) -> String {
        format!("stage_{}", self.service)
    }

    /// Where the service's port is published.
    pub fn door(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address)
    }

    /// Builds and pushes an image; what it is known by after that.
    pub async fn push(&self, name: &str, tag: &str, image: Image) -> Pin {
        let reference = format!("{}:{tag}", self.repository(name));
        let docker = self.docker.clone();
        let built = reference.clone();
        tokio::task::spawn_blocking(move || {
            let _id = image.build(&docker, &built);
            let pushed = docker.command().args(["push", "--quiet", &built]).output().unwrap();
            assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        })
        .await
        .unwrap();
        self.pin(name, tag, self.registry.digest(name, tag))
    }

    /// A test server that says that it is this version.
    pub async fn version(&self, tag: &str) -> Pin {
        self.push("web", tag, Image::server(&self.parts, tag)).await
    }

    pub fn pin(&self, name: &str, tag: &str, digest: Digest) -> Pin {
        Pin { repository: self.repository(name).parse().unwrap(), tag: Some(tag.parse().unwrap()), digest }
    }

    /// The engine forgets an image by tag and digest, so that it must be pulled.
    pub async fn forget(&self, pin: &Pin) {
        let tag = pin.tag.as_ref().map(|tag| format!("{}:{tag}", pin.repository)).unwrap();
        self.docker(&["image", "rm", &tag]).await;
        self.docker(&["image", "rm", &format!("{}@{}", pin.repository, pin.digest)]).await;
    }

    pub async fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = self.docker.command();
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Lines that a command of Docker writes.
    pub async fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.docker(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// The ids of the containers of a service.
    pub async fn ids(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.project());
        let service = format!("label=com.docker.compose.service={service}");
        self.lines(&["ps", "-aq", "--no-trunc", "--filter", &project, "--filter", &service]).await
    }

    pub fn target(&self) -> Arc<ComposeTarget> {
        let executors = Arc::clone(&self.executors);
        let (routes, logins) = (Arc::clone(&self.routes), Arc::clone(&self.logins));
        Arc::new(ComposeTarget::new(executors, routes, logins, self.options.clone()))
    }

    /// A Compose file with the service `web`, a published port, and more lines for it.
    pub fn compose(&self, more: &str) -> String {
        format!(
            "services:\n  web:\n    image: {}:1\n    ports: [\"127.0.0.1:{}:8080\"]\n{more}",
            self.repository("web"),
            self.port
        )
    }

    pub async fn release(&self, files: &[(&str, &str)], web: &Pin) -> Release {
        self.try_release(files, web).await.unwrap()
    }

    pub async fn try_release(&self, files: &[(&str, &str)], web: &Pin) -> Result<Release, TargetError> {
        let folder = format!("services/{}/compose/stage", self.service);
        let at = |path: &str| match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("{folder}/{path}"),
        };
        let tree: Arc<dyn Tree> =
            Arc::new(MemoryTree::new(files.iter().map(|(path, text)| (at(path), *text))));
        let deployment = Arc::new(Deployment {
            sites: Vec::new(),
            id: format!("{}/compose/stage", self.service).parse().unwrap(),
            folder: folder.clone(),
            spelled_environment: "stage".into(),
            files: files.iter().map(|(path, _)| at(path)).filter(|path| path.starts_with(&folder)).collect(),
            dependencies: Vec::new(),
            settings: self.settings.clone(),
        });
        let pins = BTreeMap::from([("web".parse().unwrap(), web.clone())]);
        let input = RenderInput { deployment: deployment.clone(), tree: tree.clone(), pins: pins.clone() };
        let rendered = self.target().render(input).await?;
        let hash = desired_hash(tree.as_ref(), &deployment, &rendered.reads, &pins).unwrap();
        Ok(Release(Context {
            rendered: Arc::new(rendered),
            hash,
            tree: Some(tree),
            rollout: 1,
            epoch: 1,
            bundles: Arc::new(MemorySource::default()),
            keep: vec![hash],
            log: Arc::new(()),
        }))
    }

    pub async fn plan(&self, release: &Release) -> Result<Vec<Step>, TargetError> {
        let context = &release.0;
        let target = self.target();
        let observed = target.observe(&context.rendered, &self.place).await?;
        Ok(target.plan(&context.rendered, &context.hash, &self.place, &observed))
    }

    /// As the engine does it: phase by phase, the report at the end, and back where it fails.
    pub async fn roll_out(&self, release: &Release) -> Result<(), TargetError> {
        let (context, target) = (&release.0, self.target());
        let steps = self.plan(release).await?;
        let mut done = Vec::new();
        for step in &steps {
            done.push(step);
            let executed = target.execute(step, context).await;
            let last = steps.iter().rfind(|s| s.phase <= Phase::Verifying).is_some_and(|s| s.key == step.key);
            let verified = match (&executed, last) {
                (Ok(()), true) => target.verify(&context.rendered, &context.hash, &self.place).await,
                _ => Ok(()),
            };
            if let Err(error) = executed.and(verified) {
                for step in done.iter().rev() {
                    target.undo(step, context).await.unwrap();
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let project = self.project();
        let down = ["compose", "-p", &project, "down", "--volumes", "--timeout", "1"];
        let _ = self.docker.command().args(down).output();
    }
}
