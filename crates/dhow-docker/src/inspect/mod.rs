//! What a place lacks, all of it in one go: `dhow server check`.

#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod here;
mod judge;
mod swarm;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use dhow_core::port::ExecutorError;
use serde::Serialize;
use tokio::io::AsyncReadExt as _;

use crate::executor::{LocalExecutor, SshExecutor};

const FACTS: &str = include_str!("facts.sh");
/// Time for all questions.
const LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const MOST: u64 = 1 << 20;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it should be.
    Ok,
    /// It works, and may not for long.
    Warning,
    /// Dhow cannot work so.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: `ssh`, `docker`, `compose`, `socket`, `swarm`, `ipvs`, `disk`, `memory`, `load`, `tools`, `clock`, `home`,
    /// and on this machine `shell`, `git` and `state`.
    pub check: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(check: &'static str, standing: Standing, message: impl Into<String>) -> Self {
        Self { check, standing, message: message.into() }
    }
}

/// Looks at a server. Changes nothing there but the folder `.dhow`. An executor that cannot connect is a finding, no error.
pub async fn server(executor: &SshExecutor) -> Vec<Finding> {
    findings(facts(executor.plain_shell().await, &format!("here=\n{FACTS}")).await)
}

/// Looks at this machine. Changes nothing.
pub async fn local(executor: &LocalExecutor) -> Vec<Finding> {
    let script = format!("here=yes\n{FACTS}");
    let mut found = findings(facts(executor.plain_shell().await, &script).await);
    for finding in found.iter_mut().filter(|finding| finding.check == "ssh") {
        finding.check = "shell";
    }
    // Its clock is ours, and Dhow's folder is the state directory.
    found.retain(|finding| !["clock", "home"].contains(&finding.check));
    found
}

/// Looks at what `serve` itself needs on this machine: Git, SSH, and its state directory where one is given.
pub async fn control_plane(state: Option<&Path>) -> Vec<Finding> {
    here::all(state).await
}

struct Facts {
    said: BTreeMap<String, Vec<String>>,
    /// By our clock, when the place was asked for its own, and how long that took.
    asked: (SystemTime, Duration),
}

fn findings(facts: Result<Facts, ExecutorError>) -> Vec<Finding> {
    match facts {
        Ok(facts) => judge::all(&facts.said, facts.asked.0, facts.asked.1),
        Err(error) => vec![Finding::new("ssh", Standing::Failed, error.to_string())],
    }
}

async fn facts(shell: Result<Plain, ExecutorError>, script: &str) -> Result<Facts, ExecutorError> {
    let Plain { mut command, label, silence } = shell?;
    let line = crate::executor::plain_line(script);
    let asked = SystemTime::now();
    let began = std::time::Instant::now();
    let cannot =
        |error: std::io::Error| ExecutorError::Refused(format!("{label} cannot be looked at: {error}"));
    let mut child = command.spawn().map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        use tokio::io::AsyncWriteExt as _;
        // If it takes nothing, it answers nothing, and that is told.
        let _ = stdin.write_all(&line).await;
    }
    let (mut text, mut problem) = (String::new(), String::new());
    let read = async {
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            let (mut out, mut err) = (out.take(MOST), err.take(MOST));
            let (_, _) = tokio::join!(out.read_to_string(&mut text), err.read_to_string(&mut problem));
        }
    };
    let in_time = tokio::time::timeout(LIMIT, read).await.is_ok();
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("dhow-fact ")) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        said.entry(key.to_owned()).or_default().push(value.trim().to_owned());
    }
    if !said.contains_key("started") {
        return Err(silence(&problem));
    }
    if !in_time || !said.contains_key("done") {
        return Err(ExecutorError::Unreachable {
            place: label,
            reason: format!("it did not answer all questions within {LIMIT:?}: {}", problem.trim()),
        });
    }
    Ok(Facts { said, asked: (asked, began.elapsed()) })
}

/// A shell that runs without a supervisor: what the supervisor needs may be what is missing.
pub(crate) struct Plain {
    pub(crate) command: tokio::process::Command,
    pub(crate) label: String,
    pub(crate) silence: Box<dyn Fn(&str) -> ExecutorError + Send + Sync>,
}
