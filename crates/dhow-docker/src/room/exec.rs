//! `exec`: a command in a container, without a terminal.

use std::collections::BTreeSet;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use dhow_core::port::{ContainerName, Heard, Hearing, Inside, Stream, TargetError};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Room, Seen, there};
use crate::engine::error;

/// Most bytes that a command may write.
const MOST: usize = 16 << 20;
/// Time for the engine to notice that a command has ended.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two looks at it.
const PACE: Duration = Duration::from_millis(20);

/// A command under way.
struct Under {
    room: Room,
    exec: String,
    output: BoxStream<'static, Result<LogOutput, Error>>,
    limit: Duration,
    until: Instant,
    wrote: usize,
    ended: bool,
    /// Feeds it; ends with it.
    _stdin: AbortOnDropHandle<()>,
}

impl Room {
    /// Starts a command in a container that runs.
    ///
    /// # Errors
    /// `Failed`: nothing that is meant runs, or more than one component is, or the program is not there.
    pub(crate) async fn exec(&self, inside: &Inside) -> Result<Hearing, TargetError> {
        let seen = self.one(inside.container.as_ref()).await?;
        let config = ExecConfig {
            attach_stdin: Some(inside.stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            cmd: Some(inside.argv.clone()),
            ..Default::default()
        };
        let refused = |error: Error| refused(&seen, &error);
        let exec = self.docker.create_exec(&seen.id, config).await.map_err(refused)?.id;
        let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
        let started = self.docker.start_exec(&exec, Some(options)).await.map_err(refused)?;
        let StartExecResults::Attached { output, mut input } = started else {
            return Err(TargetError::Passing(format!("the engine let go of the command in {}", seen.name)));
        };
        let stdin = inside.stdin.clone();
        let stdin = AbortOnDropHandle::new(tokio::spawn(async move {
            // A command that reads nothing, or not all, is no error.
            if let Some(bytes) = stdin {
                let _ = input.write_all(&bytes).await;
                let _ = input.shutdown().await;
            }
            // Closing the input of a command that has none would close its output too.
            std::future::pending::<()>().await;
        }));
        let under = Under {
            room: self.clone(),
            exec,
            output,
            limit: inside.limit,
            until: Instant::now() + inside.limit,
            wrote: 0,
            ended: false,
            _stdin: stdin,
        };
        let began = stream::iter([Ok(Heard::Began { container: seen.name })]);
        let heard = stream::unfold(under, |mut under| async move {
            let next = under.next().await?;
            Some((next, under))
        });
        Ok(Box::pin(began.chain(heard)))
    }

    /// The container that is meant: of several that are the same, the first.
    async fn one(&self, name: Option<&ContainerName>) -> Result<Seen, TargetError> {
        one(self.wanted(name).await?, name)
    }
}

fn one(wanted: Vec<Seen>, name: Option<&ContainerName>) -> Result<Seen, TargetError> {
    let components: BTreeSet<&String> = wanted.iter().map(|seen| &seen.component).collect();
    if components.len() > 1 && name.is_none() {
        return Err(TargetError::Failed(format!("which one? Give --container; {}", there(&wanted))));
    }
    let told = match wanted.first() {
        Some(seen) => format!("{} does not run: `dhow ps` says how it ended", seen.name),
        None => there(&wanted),
    };
    wanted.into_iter().find(|seen| seen.running).ok_or(TargetError::Failed(told))
}

impl Under {
    async fn next(&mut self) -> Option<Result<Heard, TargetError>> {
        if self.ended {
            return None;
        }
        loop {
            let message = match tokio::time::timeout_at(self.until, self.output.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return self.end(Err(error::api(&error))),
                Ok(None) => {
                    let (room, exec) = (self.room.clone(), self.exec.clone());
                    return self.end(code(&room, &exec).await.map(|code| Heard::Ended { code }));
                }
                Err(_) => {
                    return self.end(Err(TargetError::Failed(format!(
                        "it did not end within {} s and is listened to no more; in the container it goes on until it \
                         ends by itself, or the container is restarted",
                        self.limit.as_secs()
                    ))));
                }
            };
            let stream = match message {
                LogOutput::StdErr { .. } => Stream::Err,
                LogOutput::StdOut { .. } | LogOutput::Console { .. } => Stream::Out,
                LogOutput::StdIn { .. } => continue,
            };
            let bytes = message.into_bytes();
            self.wrote += bytes.len();
            if self.wrote > MOST {
                return self.end(Err(TargetError::Failed(format!(
                    "it wrote more than {} MiB and is listened to no more: ask it for less",
                    MOST >> 20
                ))));
            }
            return Some(Ok(Heard::Wrote { stream, bytes }));
        }
    }

    fn end(&mut self, last: Result<Heard, TargetError>) -> Option<Result<Heard, TargetError>> {
        self.ended = true;
        Some(last)
    }
}

/// Its exit code, once the engine knows it.
async fn code(room: &Room, exec: &str) -> Result<i64, TargetError> {
    let until = Instant::now() + SETTLE;
    loop {
        let seen = room.docker.inspect_exec(exec).await.map_err(|error| error::api(&error))?;
        if seen.running == Some(false)
            && let Some(code) = seen.exit_code
        {
            return Ok(code);
        }
        if Instant::now() >= until {
            return Err(TargetError::Passing(
                "it closed its output and still runs; its exit code is not known".to_owned(),
            ));
        }
        tokio::time::sleep(PACE).await;
    }
}

fn refused(seen: &Seen, error: &Error) -> TargetError {
    match error {
        Error::DockerResponseServerError { status_code: 400..=409, message } => {
            TargetError::Failed(format!("the command cannot be started in {}: {message}", seen.name))
        }
        error => error::api(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, component: &str, running: bool) -> Seen {
        Seen { id: name.into(), name: name.into(), component: component.into(), running }
    }

    #[test]
    fn a_command_never_guesses_between_components() {
        let both = vec![seen("a-db-1", "db", true), seen("a-web-1", "web", true)];
        let told = one(both, None).unwrap_err().to_string();
        assert!(told.contains("--container") && told.contains("db, web"), "{told}");
        let name: ContainerName = "web".parse().unwrap();
        let replicas = vec![seen("a-web-1", "web", false), seen("a-web-2", "web", true)];
        assert_eq!(one(replicas, Some(&name)).unwrap().name, "a-web-2");
    }

    #[test]
    fn where_nothing_runs_it_is_said() {
        let told = one(vec![seen("a-web-1", "web", false)], None).unwrap_err().to_string();
        assert!(told.contains("a-web-1 does not run"), "{told}");
        assert!(one(Vec::new(), None).unwrap_err().to_string().contains("none at all"));
    }
}
