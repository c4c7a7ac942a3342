//! One `git` command: arguments in, words out, within limits of time and size.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The most that is kept of each of a command's outputs; more is read and dropped.
const LIMIT: usize = 1024 * 1024;
/// How long outputs may stay open after git itself has ended: a shared SSH connection holds them on.
const GRACE: Duration = Duration::from_millis(300);
/// Variables that would lead git to another repository, or make it print what it sends.
const REMOVED: [&str; 14] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_QUARANTINE_PATH",
    "GIT_PREFIX",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_CURL_VERBOSE",
    "GIT_PUSH_OPTION_COUNT",
];

/// What a command left.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// Whether it ended well.
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How commands are run.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    /// The repository they work in; `None` for none at all.
    pub(crate) git_dir: Option<PathBuf>,
    /// Variables on top of this process's.
    pub(crate) environment: BTreeMap<String, SecretString>,
    /// Configuration on top of the user's. It travels in the environment, which other users cannot read.
    pub(crate) config: Vec<(String, SecretString)>,
}

impl Git {
    /// Runs `git` with these arguments. An error means that it could not be started or took too long.
    pub(crate) async fn run(&self, arguments: &[&str], limit: Duration) -> io::Result<Output> {
        let mut child = self.command(arguments).spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                io::Error::new(e.kind(), "the git command was not found; install git 2.39 or newer")
            }
            _ => e,
        })?;
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let stdout = Capture::of(child.stdout.take());
        let stderr = Capture::of(child.stderr.take());
        let Ok(status) = timeout(limit, child.wait()).await else {
            drop(group);
            let _ = child.wait().await;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("git {} took longer than {} s and was ended", arguments[0], limit.as_secs()),
            ));
        };
        let status = status?;
        group.0 = None;
        Ok(Output { ok: status.success(), stdout: stdout.text().await, stderr: stderr.text().await })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value.expose_secret())));
        self.add_config(&mut command);
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env("LANGUAGE", "C")
            .current_dir(self.git_dir.as_deref().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(folder) = &self.git_dir {
            command.arg("--git-dir").arg(folder);
        }
        command.args(arguments);
        command
    }

    /// The value of a variable as git sees it.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        match self.environment.get(name) {
            Some(value) => Some(value.expose_secret().to_owned()),
            None => std::env::var(name).ok(),
        }
    }

    /// Adds our configuration behind what the user has set in the same way.
    fn add_config(&self, command: &mut Command) {
        let before =
            self.variable("GIT_CONFIG_COUNT").and_then(|count| count.parse().ok()).unwrap_or(0_usize);
        for (at, (key, value)) in self.config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{}", before + at), key);
            command.env(format!("GIT_CONFIG_VALUE_{}", before + at), value.expose_secret());
        }
        command.env("GIT_CONFIG_COUNT", (before + self.config.len()).to_string());
    }
}

/// The process group of a running command: ended when this is dropped, transports and helpers included.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may just have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// One output while it is read.
struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of<R: AsyncRead + Unpin + Send + 'static>(stream: Option<R>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let reader = stream.map(|stream| tokio::spawn(read(stream, Arc::clone(&kept))));
        Self { kept, reader }
    }

    async fn text(self) -> String {
        if let Some(mut reader) = self.reader
            && timeout(GRACE, &mut reader).await.is_err()
        {
            reader.abort();
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

async fn read<R: AsyncRead + Unpin>(mut stream: R, kept: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LIMIT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&chunk[..room]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(config: &[(&str, &str)]) -> Git {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), SecretString::from(*v))).collect();
        Git { git_dir: None, environment: BTreeMap::new(), config }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let alias = format!("!sh -c 'echo $$ > {}; sleep 600 & wait'", mark.display());
        let git = git(&[("alias.hang", &alias)]);
        let error = git.run(&["hang"], Duration::from_millis(400)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = std::fs::read_to_string(mark).unwrap();
        let gone = || {
            // A zombie whose parent is gone counts as ended.
            std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
                .map_or(true, |stat| stat.contains(") Z"))
        };
        for _ in 0..1000 {
            if gone() {
                return;
            }
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
        assert!(gone(), "process {pid} is still there");
    }

    #[tokio::test]
    async fn an_endless_output_is_cut() {
        let git = git(&[("alias.much", "!head -c 3000000 /dev/zero | tr '\\0' x")]);
        let output = git.run(&["much"], Duration::from_secs(30)).await.unwrap();
        assert!(output.ok);
        assert_eq!(output.stdout.len(), LIMIT);
    }
}
