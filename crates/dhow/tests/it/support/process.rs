//! Running programs, and what they said.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::DEADLINE;

/// What a program said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// It did what it was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// It was refused or failed, with all of these words on stderr.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in stderr: {}", self.stderr);
        }
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }
}

/// The program under test, in a world of its own: no configuration of this machine's user.
pub fn dhow(home: &Path) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_dhow")), home)
}

/// The same, started by another program, which becomes it: `prlimit --nofile=200:200`.
pub fn dhow_under(by: &[&str], home: &Path) -> Command {
    let Some((program, arguments)) = by.split_first() else { return dhow(home) };
    let mut command = clean(Command::new(program), home);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_dhow"));
    command
}

/// `git`, in the same world.
pub fn git(home: &Path) -> Command {
    let mut git = clean(Command::new("git"), home);
    for (role, name) in [("AUTHOR", "alice"), ("COMMITTER", "alice")] {
        git.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), "alice@acme.dev");
    }
    git
}

fn clean(mut command: Command, home: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["DHOW_", "GIT_", "SSH_", "DOCKER_"].iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1").kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn run(command: Command) -> Said {
    run_with(command, "").await
}

/// Runs it to its end with this on stdin.
pub async fn run_with(mut command: Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = format!("{:?}", command.as_std());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{shown}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read its input is free not to.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{shown} does not end")).unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
