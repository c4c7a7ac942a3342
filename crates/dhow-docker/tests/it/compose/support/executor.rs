use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dhow_core::port::{
    Command, Executor, ExecutorError, Executors, Lines, Output, Place, PlaceLock, SentFile,
};
use tokio::io::AsyncWriteExt as _;

/// This machine, as far as these tests need it.
pub struct Local {
    pub home: PathBuf,
    epochs: Mutex<BTreeMap<String, u64>>,
    one: tokio::sync::Mutex<()>,
    /// What was run under a lock.
    pub changes: Mutex<Vec<Vec<String>>>,
    /// A word in a command that makes it fail, and what it then says.
    pub fault: Mutex<Option<(String, String)>>,
}

/// Only this machine.
pub struct Only(pub Arc<Local>);

#[async_trait]
impl Executors for Only {
    async fn at(&self, _: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        Ok(self.0.clone())
    }
}

impl Local {
    pub fn new(home: PathBuf) -> Self {
        Self {
            home,
            epochs: Mutex::default(),
            one: tokio::sync::Mutex::default(),
            changes: Mutex::default(),
            fault: Mutex::default(),
        }
    }

    async fn spawn(&self, command: &Command) -> Result<Output, ExecutorError> {
        let fault = self.fault.lock().unwrap().clone();
        if let Some((_, said)) = fault.filter(|(word, _)| command.argv.contains(word)) {
            return Ok(Output { code: Some(1), stdout: Vec::new(), stderr: said.into_bytes() });
        }
        let refused = |error: std::io::Error| ExecutorError::Refused(format!("{}: {error}", command.argv[0]));
        let mut process = tokio::process::Command::new(&command.argv[0]);
        process.args(&command.argv[1..]).env_clear().envs(&command.env).kill_on_drop(true);
        process.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &self.home);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().map_err(refused)?;
        let mut stdin = child.stdin.take().unwrap();
        if let Some(bytes) = &command.stdin {
            stdin.write_all(bytes).await.map_err(refused)?;
        }
        drop(stdin);
        let output = tokio::time::timeout(command.limit, child.wait_with_output()).await;
        let output = output
            .map_err(|_| ExecutorError::TimedOut { program: command.argv[0].clone(), limit: command.limit })?
            .map_err(refused)?;
        Ok(Output { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap())?;
    std::fs::write(path, bytes)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn refused(error: std::io::Error) -> ExecutorError {
    ExecutorError::Refused(error.to_string())
}

#[async_trait]
impl Executor for Local {
    fn place(&self) -> Place {
        Place::Local
    }

    async fn run(&self, command: &Command, _: &dyn Lines) -> Result<Output, ExecutorError> {
        self.spawn(command).await
    }

    async fn run_locked(
        &self,
        lock: &PlaceLock,
        command: &Command,
        _: &dyn Lines,
    ) -> Result<Output, ExecutorError> {
        let _one = self.one.lock().await;
        {
            let mut epochs = self.epochs.lock().unwrap();
            let seen = epochs.entry(lock.name.clone()).or_default();
            if *seen > lock.epoch {
                return Err(ExecutorError::Fenced { seen: *seen, ours: lock.epoch });
            }
            *seen = lock.epoch;
        }
        self.changes.lock().unwrap().push(command.argv.clone());
        self.spawn(command).await
    }

    async fn send(&self, folder: &str, files: &[SentFile]) -> Result<(), ExecutorError> {
        if Path::new(folder).exists() {
            return Ok(());
        }
        let beside = PathBuf::from(format!("{folder}.tmp"));
        for file in files {
            put(&beside.join(&file.path), &file.content, file.mode).map_err(refused)?;
        }
        std::fs::rename(beside, folder).map_err(refused)
    }

    async fn send_folder(&self, _: &PlaceLock, folder: &str, _: &Path) -> Result<(), ExecutorError> {
        Err(ExecutorError::Refused(format!("Compose sends no folder of this machine: {folder}")))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ExecutorError> {
        Ok(std::fs::read(path).ok())
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ExecutorError> {
        let beside = PathBuf::from(format!("{path}.tmp"));
        put(&beside, content, mode).map_err(refused)?;
        std::fs::rename(beside, path).map_err(refused)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ExecutorError> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    async fn remove(&self, path: &str) -> Result<(), ExecutorError> {
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_dir_all(path);
        Ok(())
    }

    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        Ok(path.into())
    }

    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        Ok(to)
    }

    async fn home(&self) -> Result<String, ExecutorError> {
        Ok(self.home.to_string_lossy().into_owned())
    }
}
