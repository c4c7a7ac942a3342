//! This machine as a place, and what may happen on the way there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dhow_core::port::{Command, Executor, ExecutorError, Lines, Output, Place, PlaceLock, SentFile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Something that is done between the reading of a configuration and its change.
pub type Meddling = Arc<dyn Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// Just enough of an executor for a proxy.
#[derive(Default)]
pub struct Local {
    /// Somebody else is faster, once.
    pub meddling: Option<Meddling>,
    /// The proxy sees other files than the place: these are in here.
    pub elsewhere: Option<PathBuf>,
}

impl Local {
    fn path(&self, path: &str) -> PathBuf {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.join(path.trim_start_matches('/')),
            None => path.into(),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> ExecutorError {
    ExecutorError::Refused(error.to_string())
}

#[async_trait]
impl Executor for Local {
    fn place(&self) -> Place {
        Place::Local
    }

    async fn run(&self, command: &Command, _lines: &dyn Lines) -> Result<Output, ExecutorError> {
        let mut process = tokio::process::Command::new(&command.argv[0]);
        process.args(&command.argv[1..]).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(command.limit, process.output()).await.map_err(failed)?;
        let output = output.map_err(failed)?;
        Ok(Output { code: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    async fn run_locked(
        &self,
        _lock: &PlaceLock,
        command: &Command,
        lines: &dyn Lines,
    ) -> Result<Output, ExecutorError> {
        self.run(command, lines).await
    }

    async fn send(&self, _folder: &str, _files: &[SentFile]) -> Result<(), ExecutorError> {
        Err(failed("a proxy sends no folders"))
    }

    async fn send_folder(&self, _: &PlaceLock, _: &str, _: &Path) -> Result<(), ExecutorError> {
        Err(failed("a proxy sends no folders"))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ExecutorError> {
        match std::fs::read(self.path(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn write(&self, path: &str, content: &[u8], _mode: u32) -> Result<(), ExecutorError> {
        let path = self.path(path);
        let mut beside = path.clone().into_os_string();
        beside.push(".beside");
        std::fs::create_dir_all(path.parent().unwrap()).map_err(failed)?;
        std::fs::write(&beside, content).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ExecutorError> {
        let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    async fn remove(&self, path: &str) -> Result<(), ExecutorError> {
        std::fs::remove_file(self.path(path)).map_err(failed)
    }

    async fn forward_socket(&self, path: &str) -> Result<PathBuf, ExecutorError> {
        Ok(path.into())
    }

    async fn forward_tcp(&self, to: SocketAddr) -> Result<SocketAddr, ExecutorError> {
        match &self.meddling {
            None => Ok(to),
            Some(meddling) => Ok(meddled(to, meddling.clone()).await),
        }
    }

    async fn home(&self) -> Result<String, ExecutorError> {
        Ok("/nonexistent".into())
    }
}

/// An address that leads on; before the first change passes, the meddling is done.
async fn meddled(to: SocketAddr, meddling: Meddling) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (meddling, done) = (meddling.clone(), done.clone());
            tokio::spawn(async move {
                let mut start = [0; 5];
                if here.read_exact(&mut start).await.is_err() {
                    return;
                }
                let change = [&b"PUT /"[..], b"PATCH", b"DELET"].contains(&&start[..]);
                if change && !done.swap(true, Ordering::SeqCst) {
                    meddling().await;
                }
                let mut there = TcpStream::connect(to).await.unwrap();
                there.write_all(&start).await.unwrap();
                // Either side may hang up at any time.
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    address
}
