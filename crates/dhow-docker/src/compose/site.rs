use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Command, Context, Executor, Lines, Output, Place, PlaceLock, TargetError};

use super::api::Api;
use super::body::{Body, Current, Manifest, Stack};
use super::{Options, error, path};

/// The override file that is generated for each release.
const OVERRIDE: &str = "dhow.override.yaml";
/// A command that starts or stops containers.
const LONG: Duration = Duration::from_secs(600);

/// A deployment at its place.
pub(crate) struct Site {
    pub executor: Arc<dyn Executor>,
    /// The folder there that is the deployment's own, absolute.
    pub root: String,
    socket: String,
    environment: BTreeMap<String, String>,
    id: DeploymentId,
}

impl Site {
    /// # Errors
    /// The place does not answer.
    pub(crate) async fn new(
        executor: Arc<dyn Executor>,
        id: &DeploymentId,
        options: &Options,
    ) -> Result<Self, TargetError> {
        let home = executor.home().await.map_err(error::executor)?;
        let socket = options.socket_at(&executor.place()).to_owned();
        let mut environment = BTreeMap::from([("DOCKER_HOST".to_owned(), format!("unix://{socket}"))]);
        environment.extend(options.docker_config.clone().map(|folder| ("DOCKER_CONFIG".to_owned(), folder)));
        let root = format!("{}/{}/{}/{}", home.trim_end_matches('/'), id.target, id.environment, id.service);
        Ok(Self { executor, root, socket, environment, id: id.clone() })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Place {
        self.executor.place()
    }

    /// The Engine API there.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(crate) async fn api(&self) -> Result<Api, TargetError> {
        let socket = self.executor.forward_socket(&self.socket).await.map_err(error::executor)?;
        Api::connect(&socket).await
    }

    /// `docker ...`
    pub(crate) fn docker<A: Into<String>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let argv = std::iter::once("docker".to_owned()).chain(arguments.into_iter().map(Into::into));
        Command { env: self.environment.clone(), limit: LONG, ..Command::new(argv) }
    }

    /// `docker compose ...` on a project, with these files.
    pub(super) fn compose<A: Into<String>>(
        &self,
        project: &str,
        stack: Option<&Stack>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut argv: Vec<String> = ["compose", "--ansi", "never", "-p", project].map(String::from).to_vec();
        if let Some(stack) = stack {
            argv.extend(["--project-directory".to_owned(), stack.directory.clone()]);
            for file in &stack.files {
                argv.extend(["-f".to_owned(), file.clone()]);
            }
        }
        argv.extend(arguments.into_iter().map(Into::into));
        self.docker(argv)
    }

    /// Runs what changes nothing.
    ///
    /// # Errors
    /// The place does not answer; an exit code is no error.
    pub(crate) async fn run(&self, command: &Command) -> Result<Output, TargetError> {
        self.executor.run(command, &()).await.map_err(error::executor)
    }

    /// Runs what changes something, under the deployment's lock.
    ///
    /// # Errors
    /// It ended with another code than 0, or the place has seen a higher epoch.
    pub(crate) async fn change(
        &self,
        turn: Turn<'_>,
        what: &str,
        command: &Command,
    ) -> Result<Output, TargetError> {
        let output = self.try_change(turn, command).await?;
        if output.ok() { Ok(output) } else { Err(error::docker(what, &output)) }
    }

    /// The same; an exit code is no error.
    pub(crate) async fn try_change(&self, turn: Turn<'_>, command: &Command) -> Result<Output, TargetError> {
        let name = format!("{}/{}_{}", self.id.target, self.id.environment, self.id.service);
        let lock = PlaceLock { name, rollout: turn.rollout, epoch: turn.epoch };
        self.executor.run_locked(&lock, command, turn.log).await.map_err(error::executor)
    }

    /// Makes the deployment's own folder, and lets nobody else in; logins that a crash left there go. Refuses a lower
    /// epoch.
    pub(crate) async fn enter(&self, turn: Turn<'_>) -> Result<(), TargetError> {
        let own = ["mkdir", "-p", "-m", "700"].map(String::from).into_iter().chain([self.root.clone()]);
        self.change(turn, "making a folder", &Command::new(own)).await?;
        self.forget_logins().await
    }

    /// Logins that a crash left.
    async fn forget_logins(&self) -> Result<(), TargetError> {
        let folder = format!("{}/{}", self.root, crate::engine::login::FOLDER);
        self.executor.remove(&folder).await.map_err(error::executor)
    }

    /// Makes folders in it.
    pub(crate) async fn make(&self, turn: Turn<'_>, folders: &[String]) -> Result<(), TargetError> {
        if folders.is_empty() {
            return Ok(());
        }
        let all = ["mkdir", "-p", "--"].map(String::from).into_iter().chain(folders.iter().cloned());
        self.change(turn, "making folders", &Command::new(all)).await.map(drop)
    }

    /// The folder of a release.
    pub(crate) fn release(&self, name: &str) -> String {
        format!("{}/releases/{name}", self.root)
    }

    /// Where content is, by its hash and name.
    pub(crate) fn content(&self, hash: &str, name: &str) -> String {
        format!("{}/content/{hash}/{name}", self.root)
    }

    /// The files in a folder as Compose gets them: as they stand, and the override where there is one.
    pub(super) fn stack(folder: &str, body: &Body, with_override: bool) -> Stack {
        let files = format!("{folder}/files");
        let mut all: Vec<String> = body.compose_files.iter().map(|file| path::join(&files, file)).collect();
        if with_override {
            all.push(format!("{folder}/{OVERRIDE}"));
        }
        Stack { directory: path::join(&files, &body.folder), files: all }
    }

    /// The files of a release folder: what Compose reads, the override, and what it says of itself.
    pub(super) fn release_files(
        body: &Body,
        written: Option<(&str, &Manifest)>,
    ) -> Vec<dhow_core::port::SentFile> {
        let file = |path: String, text: &str| dhow_core::port::SentFile {
            path,
            content: text.to_owned().into_bytes().into(),
            mode: 0o600,
        };
        let mut files: Vec<_> =
            body.inputs.iter().map(|(path, text)| file(format!("files/{path}"), text)).collect();
        if let Some((override_file, manifest)) = written {
            files.push(file(OVERRIDE.to_owned(), override_file));
            files.push(file("release.json".to_owned(), &super::body::value(manifest).to_string()));
        }
        files
    }

    /// What was applied last.
    ///
    /// # Errors
    /// The place does not answer. What cannot be read is taken for nothing.
    pub(super) async fn current(&self) -> Result<Option<Current>, TargetError> {
        self.json("current.json").await
    }

    /// Notes what was applied, or that nothing is.
    pub(super) async fn set_current(&self, current: Option<&Current>) -> Result<(), TargetError> {
        let path = format!("{}/current.json", self.root);
        match current {
            Some(current) => {
                let text = super::body::value(current).to_string();
                self.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)
            }
            None => self.executor.remove(&path).await.map_err(error::executor),
        }
    }

    /// A file of the deployment's own.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, TargetError> {
        let bytes = self.executor.read(&format!("{}/{name}", self.root)).await.map_err(error::executor)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// Under what an effect runs.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub rollout: u64,
    pub epoch: u64,
    /// Is told what commands say.
    pub log: &'a dyn Lines,
}

impl<'a> From<&'a Context> for Turn<'a> {
    fn from(context: &'a Context) -> Self {
        Self { rollout: context.rollout, epoch: context.epoch, log: context.log.as_ref() }
    }
}
