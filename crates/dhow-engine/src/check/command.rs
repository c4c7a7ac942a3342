//! A command as a check.
//!
//! It runs with an empty environment, in `/`, without input, as the leader of a process group of its own. What it starts
//! belongs to the try as long as it holds the output open: the try ends when the output does, or is killed.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use super::answer::{Deadline, ending};

/// The answer where commands may not run.
pub(crate) const REFUSED: &str = "commands as checks are not allowed here, and this one was not run; use an `http` or \
                                  `tcp` check, or allow commands in this dhow's own settings";

/// Bytes of output that are kept: the last ones.
const OUTPUT: usize = 4 * 1024;

/// Runs it; exit 0 is success. At the deadline, and when dropped, it is killed with its process group.
pub(super) async fn probe(argv: &[String], deadline: Deadline) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err("the check's command is empty; name a program".to_owned());
    };
    let (mut group, mut output) = spawn(program, arguments)
        .map_err(|error| format!("the command {program:?} could not be started: {error}"))?;
    let mut kept = Vec::new();
    let ended = deadline
        .wait(async {
            keep_last(&mut output, &mut kept).await?;
            // The leader is awaited last: until then its id, and so its group's, is given to nobody else.
            group.0.wait().await
        })
        .await;
    match ended {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(format!("{}{}", describe(status), told(&kept))),
        Some(Err(error)) => Err(format!("the command was lost: {error}{}", told(&kept))),
        None => Err(format!("not done within {}, so it was killed{}", deadline.words(), told(&kept))),
    }
}

/// A running process group. Dropping it kills the whole of it, unless its leader has been awaited.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // An error says that nobody is left in it.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Starts it with both outputs in one pipe, so that they stay in their order.
fn spawn(program: &str, arguments: &[String]) -> std::io::Result<(Group, Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let output = Receiver::from_owned_fd(reader.into())?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((Group(child), output))
}

/// Reads to the end and keeps the last [`OUTPUT`] bytes.
async fn keep_last(output: &mut Receiver, kept: &mut Vec<u8>) -> std::io::Result<()> {
    let mut piece = [0; OUTPUT];
    loop {
        let read = output.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        kept.extend_from_slice(&piece[..read]);
        kept.drain(..kept.len().saturating_sub(OUTPUT));
    }
}

fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}, expected 0"))
}

fn told(kept: &[u8]) -> String {
    if kept.is_empty() { "; no output".to_owned() } else { format!("; output: {}", ending(kept)) }
}
