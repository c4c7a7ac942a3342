//! The one connection to a server: a master `ssh` that lives as long as its link, and clients that share it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dhow_core::port::ExecutorError;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::{self, JUMP, TARGET};
use super::folder::Folder;
use super::host_key::{HostKey, Trust};
use super::trouble::{self, Attempt};
use super::{Login, SshSettings};

const SCRIPT: &str = include_str!("host-key.sh");
/// What the master runs there: it says that it is up, and ends when our end closes, also where Dhow is killed.
const UP: &str = r"exec sh -c 'echo; echo dhow-up; exec cat >/dev/null'";
/// Time for a connection to come up, through a jump host too.
const CONNECT: Duration = Duration::from_secs(30);
/// Longest wait between two attempts.
const MOST_BACKOFF: Duration = Duration::from_secs(30);

/// The connection to one server.
pub(super) struct Link {
    name: String,
    label: String,
    login: Login,
    jump: Option<Login>,
    folder: Folder,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    master: Option<Master>,
    generation: u64,
    failures: u32,
    failed: Option<(Instant, ExecutorError)>,
}

struct Master {
    child: Child,
    socket: PathBuf,
    generation: u64,
}

/// A connection that was up a moment ago.
pub(super) struct Up {
    /// The master's socket.
    pub(super) socket: PathBuf,
    /// Rises with each connection.
    pub(super) generation: u64,
}

impl Link {
    pub(super) fn new(settings: &SshSettings, label: &str) -> Result<Self, ExecutorError> {
        let refused = ExecutorError::Refused;
        for login in [Some(&settings.login), settings.jump.as_ref()].into_iter().flatten() {
            if let Some(identity) = login.identity.as_ref().filter(|path| !path.is_file()) {
                let path = identity.display();
                return Err(refused(format!(
                    "{label}: there is no key {path}; mend its path in serve's --config"
                )));
            }
        }
        let made = || -> std::io::Result<Folder> {
            let folder = Folder::new()?;
            fs::write(folder.path().join("host-key"), SCRIPT)?;
            Ok(folder)
        };
        let folder = made().map_err(|error| {
            refused(format!("{label}: no folder for SSH's sockets can be made in /tmp: {error}; mend it"))
        })?;
        let text = config::text(settings, folder.path()).map_err(|why| refused(format!("{label}: {why}")))?;
        fs::write(folder.path().join("config"), text)
            .map_err(|error| refused(format!("{label}: SSH's configuration cannot be written: {error}")))?;
        Ok(Self {
            name: settings.name.to_string(),
            label: label.to_owned(),
            login: settings.login.clone(),
            jump: settings.jump.clone(),
            folder,
            state: Mutex::default(),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn ssh(&self, socket: &Path) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.folder().join("config")).arg("-S").arg(socket);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// A client of the connection, which is made where there is none. The arguments to follow are the host's name in the
    /// configuration, and the remote command.
    pub(super) async fn client(&self) -> Result<Command, ExecutorError> {
        let up = self.up().await?;
        Ok(self.ssh(&up.socket))
    }

    /// The connection, made where there is none. After a failure the next attempt waits: 1 s, then twice as long each
    /// time, at most 30 s; until then the failure is told again.
    pub(super) async fn up(&self) -> Result<Up, ExecutorError> {
        let mut state = self.state.lock().await;
        if let Some(master) = &mut state.master
            && matches!(master.child.try_wait(), Ok(None))
        {
            return Ok(Up { socket: master.socket.clone(), generation: master.generation });
        }
        state.master = None;
        if let Some((at, error)) = &state.failed {
            let wait = Duration::from_secs(1 << state.failures.saturating_sub(1).min(5)).min(MOST_BACKOFF);
            if at.elapsed() < wait {
                return Err(error.clone());
            }
        }
        state.generation += 1;
        let generation = state.generation;
        let socket = self.folder().join(format!("m{generation}"));
        match self.connect(&socket).await {
            Ok(child) => {
                (state.failures, state.failed) = (0, None);
                state.master = Some(Master { child, socket: socket.clone(), generation });
                Ok(Up { socket, generation })
            }
            Err(error) => {
                // What a person must mend is tried again at once: the person may just have done it.
                if matches!(error, ExecutorError::Unreachable { .. }) {
                    state.failures += 1;
                    state.failed = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    async fn connect(&self, socket: &Path) -> Result<Child, ExecutorError> {
        let log = self.folder().join("log");
        for name in [TARGET, JUMP] {
            let _ = fs::remove_file(config::shown(self.folder(), name));
        }
        let here = |error: std::io::Error| {
            ExecutorError::Refused(format!("ssh cannot be started here: {error}; install OpenSSH's client"))
        };
        let mut command = self.ssh(socket);
        command.args(["-o", "ControlMaster=yes", TARGET, UP]).kill_on_drop(true).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(&log).map_err(here)?);
        let mut child = command.spawn().map_err(here)?;
        let up = async {
            let stdout = child.stdout.take()?;
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "dhow-up" {
                    return Some(());
                }
            }
            None
        };
        match tokio::time::timeout(CONNECT, up).await {
            Ok(Some(())) => Ok(child),
            Ok(None) => Err(self.trouble(&fs::read_to_string(&log).unwrap_or_default())),
            Err(_) => Err(self.trouble(&format!("it did not answer within {CONNECT:?}"))),
        }
    }

    /// What `ssh` said, as an error.
    pub(super) fn trouble(&self, said: &str) -> ExecutorError {
        let shown = HostKey::noted(&config::shown(self.folder(), TARGET));
        let jump_shown = HostKey::noted(&config::shown(self.folder(), JUMP));
        Attempt {
            label: &self.label,
            name: &self.name,
            login: &self.login,
            jump: self.jump.as_ref(),
            shown: shown.as_ref(),
            jump_shown: jump_shown.as_ref(),
            said,
        }
        .error()
    }

    /// Whether the host keys on the way are trusted; the first that is not.
    pub(super) async fn trust(&self) -> Result<Trust, ExecutorError> {
        let noted = |name| HostKey::noted(&config::shown(self.folder(), name));
        match self.up().await {
            Ok(_) => Ok(Trust::Known([JUMP, TARGET].into_iter().filter_map(noted).collect())),
            Err(error) => {
                let said = fs::read_to_string(self.folder().join("log")).unwrap_or_default();
                let refused = matches!(error, ExecutorError::Refused(_)) && trouble::is_host_key(&said);
                // The jump host is asked first: where the server showed no key, it is the jump host's that stops us.
                let key = if refused { noted(TARGET).or_else(|| noted(JUMP)) } else { None };
                key.map(Trust::Unknown).ok_or(error)
            }
        }
    }

    /// Lets the connection lead a socket here to something there.
    pub(super) async fn forward(&self, up: &Up, local: &Path, to: &str) -> Result<(), ExecutorError> {
        let spec = format!("{}:{to}", local.display());
        let mut command = self.ssh(&up.socket);
        command.args(["-O", "forward", "-L", &spec, TARGET]).kill_on_drop(true);
        let output = command.output().await.map_err(|error| {
            ExecutorError::Refused(format!("ssh cannot be started here: {error}; install OpenSSH's client"))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let reason = trouble::last_line(&said).unwrap_or("the connection is gone");
        Err(ExecutorError::Unreachable {
            place: self.label.clone(),
            reason: format!(
                "it does not forward {to}: {reason}; sshd there must have AllowTcpForwarding and \
                             AllowStreamLocalForwarding"
            ),
        })
    }
}
