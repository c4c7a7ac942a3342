use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{Deployment, DeploymentSettings, MemoryTree, Tree, desired_hash};
use dhow_core::noun::{Digest, Pin};
use dhow_core::port::{
    Context, Executor, ExecutorError, Executors, Phase, Place, RenderInput, Step, Target, TargetError,
};
use dhow_docker::compose::{Anonymous, Logins, Options};
use dhow_docker::executor::{Login, SshExecutor, SshSettings};
use dhow_docker::swarm::SwarmTarget;
use dhow_testkit::MemorySource;
use dhow_testkit::engines::{self, Docker, Image, Parts, Swarm};

use crate::compose::support::Registry;
pub use crate::compose::support::get;

static NUMBER: AtomicU16 = AtomicU16::new(0);

/// One server, whatever the place is called.
pub struct Only(pub Arc<SshExecutor>);

#[async_trait]
impl Executors for Only {
    async fn at(&self, _: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        Ok(self.0.clone())
    }
}

/// A stack of its own on the swarm, with a registry.
pub struct Lab {
    pub swarm: Swarm,
    pub parts: Parts,
    pub registry: Arc<Registry>,
    pub executor: Arc<SshExecutor>,
    pub service: String,
    pub port: u16,
    pub options: Options,
    pub logins: Arc<dyn Logins>,
    pub settings: DeploymentSettings,
}

/// The executor of a server, as this user.
pub fn executor(server: &engines::Server, user: &str) -> Arc<SshExecutor> {
    let login = Login {
        user: user.into(),
        host: server.address.to_string(),
        port: server.port,
        identity: Some(server.identity.clone()),
        fingerprint: Some(server.fingerprint.clone()),
    };
    let settings = SshSettings {
        name: server.name.parse().unwrap(),
        login,
        jump: None,
        known_hosts: "/dev/null".into(),
    };
    Arc::new(SshExecutor::new(&settings).unwrap())
}

impl Lab {
    /// None: the engines are not up, and that was said.
    pub async fn new() -> Option<Self> {
        let (swarm, parts) = (engines::swarm()?, engines::parts()?);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            registry: Arc::new(Registry::start_at(swarm.ssh.gateway).await),
            executor: executor(&swarm.ssh, "deploy"),
            service: format!("t{}x{number}", std::process::id()),
            port: 20_000 + u16::try_from(std::process::id() % 200).unwrap() * 50 + number,
            options: Options {
                stable: Duration::from_millis(100),
                start: Duration::from_secs(20),
                ..Options::default()
            },
            logins: Arc::new(Anonymous),
            settings: DeploymentSettings::default(),
            swarm,
            parts,
        })
    }

    pub fn docker(&self) -> &Docker {
        &self.swarm.docker
    }

    pub fn stack(&self) -> String {
        format!("stage_{}", self.service)
    }

    /// Where the fixed port is published.
    pub fn door(&self) -> SocketAddr {
        SocketAddr::new(self.swarm.address.into(), self.port)
    }

    pub fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.address)
    }

    /// Builds and pushes an image; what it is known by after that.
    pub async fn push(&self, name: &str, tag: &str, image: Image) -> Pin {
        let reference = format!("{}:{tag}", self.repository(name));
        let docker = self.docker().clone();
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

    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.docker().command();
        command.args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Lines that a command of Docker writes.
    pub async fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// What the newest container of `web` that answers says that it is, at the port that it was given.
    pub async fn newest(&self) -> Option<String> {
        for port in self.ports().await {
            let said = get(SocketAddr::new(self.swarm.address.into(), port), "/version").await;
            if said.is_some() {
                return said;
            }
        }
        None
    }

    /// A container of `web` says that it is this version.
    pub async fn serves(&self, version: &str) -> bool {
        for port in self.ports().await {
            let said = get(SocketAddr::new(self.swarm.address.into(), port), "/version").await;
            if said.as_deref() == Some(version) {
                return true;
            }
        }
        false
    }

    /// The tasks that are to run.
    pub async fn live(&self) -> Vec<String> {
        let mut live = self
            .lines(&["stack", "ps", &self.stack(), "-q", "--no-trunc", "--filter", "desired-state=running"])
            .await;
        live.sort();
        live
    }

    /// The ports that containers of `web` were given, the newest first.
    async fn ports(&self) -> Vec<u16> {
        let name = format!("label=com.docker.swarm.service.name={}_web", self.stack());
        let lines = self.lines(&["ps", "--filter", &name, "--format", "{{.Ports}}"]).await;
        let port = |line: &String| line.split("->").next()?.rsplit(':').next()?.parse().ok();
        lines.iter().filter_map(port).collect()
    }

    pub fn target(&self) -> Arc<SwarmTarget> {
        let executors = Arc::new(Only(Arc::clone(&self.executor)));
        Arc::new(SwarmTarget::new(executors, Arc::clone(&self.logins), self.options.clone()))
    }

    /// A stack with the service `web`; more lines for it. It gets a port of its own, so that new runs beside old.
    pub fn beside(&self, more: &str) -> String {
        self.file("[{target: 8080, mode: host}]", "start-first", more)
    }

    /// The same with a fixed port.
    pub fn fixed(&self, more: &str) -> String {
        let ports = format!("[{{target: 8080, published: {}, mode: host}}]", self.port);
        self.file(&ports, "stop-first", more)
    }

    fn file(&self, ports: &str, order: &str, more: &str) -> String {
        format!(
            "services:\n  web:\n    image: {}:1\n    stop_grace_period: 1s\n    ports: {ports}\n{more}    deploy:\n      \
             endpoint_mode: dnsrr\n      restart_policy: {{delay: 200ms}}\n      \
             update_config: {{order: {order}, monitor: 300ms}}\n",
            self.repository("web"),
        )
    }

    pub async fn release(&self, files: &[(&str, &str)], web: &Pin) -> Context {
        self.try_release(files, web).await.unwrap()
    }

    pub async fn try_release(&self, files: &[(&str, &str)], web: &Pin) -> Result<Context, TargetError> {
        let folder = format!("services/{}/swarm/stage", self.service);
        let at = |path: &str| match path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("{folder}/{path}"),
        };
        let tree: Arc<dyn Tree> =
            Arc::new(MemoryTree::new(files.iter().map(|(path, text)| (at(path), *text))));
        let deployment = Arc::new(Deployment {
            sites: Vec::new(),
            id: format!("{}/swarm/stage", self.service).parse().unwrap(),
            folder: folder.clone(),
            spelled_environment: "stage".into(),
            files: files.iter().map(|(path, _)| at(path)).filter(|path| path.starts_with(&folder)).collect(),
            dependencies: Vec::new(),
            settings: self.settings.clone(),
        });
        self.of_deployment(deployment, tree, BTreeMap::from([("web".parse().unwrap(), web.clone())])).await
    }

    pub async fn of_deployment(
        &self,
        deployment: Arc<Deployment>,
        tree: Arc<dyn Tree>,
        pins: BTreeMap<dhow_core::noun::ArtifactName, Pin>,
    ) -> Result<Context, TargetError> {
        let input = RenderInput { deployment: deployment.clone(), tree: tree.clone(), pins: pins.clone() };
        let rendered = self.target().render(input).await?;
        let hash = desired_hash(tree.as_ref(), &deployment, &rendered.reads, &pins).unwrap();
        Ok(Context {
            rendered: Arc::new(rendered),
            hash,
            tree: Some(tree),
            rollout: 1,
            epoch: 1,
            bundles: Arc::new(MemorySource::default()),
            keep: vec![hash],
            log: Arc::new(()),
        })
    }

    pub async fn plan(&self, context: &Context) -> Result<Vec<Step>, TargetError> {
        let target = self.target();
        let observed = target.observe(&context.rendered, &Place::Local).await?;
        Ok(target.plan(&context.rendered, &context.hash, &Place::Local, &observed))
    }

    /// As the engine does it: phase by phase, the report at the end, and back where it fails.
    pub async fn roll_out(&self, context: &Context) -> Result<(), TargetError> {
        let target = self.target();
        let steps = self.plan(context).await?;
        let mut done = Vec::new();
        for step in &steps {
            done.push(step);
            let executed = target.execute(step, context).await;
            let last = steps.iter().rfind(|s| s.phase <= Phase::Verifying).is_some_and(|s| s.key == step.key);
            let verified = match (&executed, last) {
                (Ok(()), true) => target.verify(&context.rendered, &context.hash, &Place::Local).await,
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
        // Its network is there until its last task has gone: that takes longer than anybody waits for.
        let _ = self.docker().command().args(["stack", "rm", &self.stack()]).output();
    }
}
