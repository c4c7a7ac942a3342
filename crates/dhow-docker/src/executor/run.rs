//! Carries one request through a shell, here or at the other end of SSH.

use std::process::Stdio;
use std::time::Duration;

use dhow_core::port::{ExecutorError, Lines, Output, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::{Half, Word};
use super::request::{Input, Request};
use super::stream::Splitter;

/// Time beyond the command's own, for ending it there: 3 s asked, then forced, and a slow connection.
const GRACE: Duration = Duration::from_secs(20);
/// Time for what is still in the pipes when the shell has gone.
const DRAIN: Duration = Duration::from_secs(2);

/// How an attempt went.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The place answered.
    Answered(Word, Output),
    /// It was silent: what was said before the command began, and whether it began.
    Silent { noise: String, began: bool },
    /// It wrote too much.
    Overflow,
}

/// Runs a request through the shell that `command` starts. Dropping the future closes its input, upon which the place
/// ends the command.
pub(crate) async fn run(
    mut command: tokio::process::Command,
    request: &Request<'_>,
    lines: &dyn Lines,
) -> Result<Ended, ExecutorError> {
    let line = request.line().map_err(ExecutorError::Refused)?;
    // A Ctrl-C at the terminal is Dhow's to handle: what runs is ended by us, in order.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        ExecutorError::Refused(format!(
            "`{program}` cannot be started here: {error}; install it, or mend PATH"
        ))
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ExecutorError::Refused("a shell was started without its streams".into()));
    };
    let begun = Notify::new();
    let (mut out, mut err) = (Half::new(Stream::Out, lines), Half::new(Stream::Err, lines));
    {
        out.begun = Some(&begun);
        let read_out = read(stdout, &request.mark, &mut out);
        let read_err = read(stderr, &request.mark, &mut err);
        let limit = Instant::now() + request.command.limit * 2 + GRACE;
        tokio::select! {
            () = both(read_out, read_err) => {}
            never = feed(stdin, &line, request, &begun) => match never {},
            () = gone(&mut child) => {}
            () = tokio::time::sleep_until(limit) => {}
        }
    }
    if out.overflow {
        return Ok(Ended::Overflow);
    }
    let noise = String::from_utf8_lossy(&err.noise).into_owned() + &String::from_utf8_lossy(&out.noise);
    let began = out.began || err.began;
    Ok(match err.word.take().or(out.word.take()) {
        Some(word) => {
            let code = if let Word::End { code, .. } = word { Some(code) } else { None };
            Ended::Answered(word, Output { code, stdout: out.into_kept(), stderr: err.into_kept() })
        }
        None => {
            // What SSH says of a broken connection comes in the same stream.
            let tail = if began { String::from_utf8_lossy(&err.into_kept()).into_owned() } else { noise };
            Ended::Silent { noise: tail, began }
        }
    })
}

/// Ends when both have told all; an answer on one that is not the command's end comes on one stream only.
async fn both(out: impl Future<Output = bool>, err: impl Future<Output = bool>) {
    let (mut out, mut err) = (std::pin::pin!(out), std::pin::pin!(err));
    tokio::select! {
        // The command's output is at its end; its complaints follow.
        _ = &mut out => { err.await; }
        ended = &mut err => if ended { out.await; }
    }
}

/// Reads one stream to its end, or to the place's last word in it. True: the command ended.
async fn read(mut from: impl AsyncRead + Unpin, mark: &str, half: &mut Half<'_>) -> bool {
    let mut splitter = Splitter::new(mark);
    let mut buffer = vec![0; 64 << 10];
    while half.word.is_none() && !half.overflow {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => splitter.push(&buffer[..count], half),
        }
    }
    splitter.finish(half);
    matches!(half.word, None | Some(Word::End { .. }))
}

/// Writes the request and its input, and then holds the input open.
async fn feed(
    mut stdin: ChildStdin,
    line: &[u8],
    request: &Request<'_>,
    begun: &Notify,
) -> std::convert::Infallible {
    let fed = async {
        stdin.write_all(line).await?;
        match (request.input, &request.command.stdin) {
            (Input::Pack(pack), _) => {
                // While it waits for a lock, the place takes any input for a sign that nobody waits any more.
                stdin.flush().await?;
                begun.notified().await;
                pack.write_to(&mut stdin).await?;
            }
            (_, Some(bytes)) => stdin.write_all(bytes).await?,
            (_, None) => {}
        }
        stdin.flush().await
    };
    if let Err(error) = fed.await {
        // The shell has gone: its streams tell why. Or the archive could not be made: the place sees its input close.
        tracing::debug!(%error, "a shell got no more input");
        drop(stdin);
    }
    std::future::pending().await
}

/// The shell has gone, and what it wrote has had time to be read.
async fn gone(child: &mut Child) {
    if child.wait().await.is_ok() {
        tokio::time::sleep(DRAIN).await;
    } else {
        std::future::pending::<()>().await;
    }
}
