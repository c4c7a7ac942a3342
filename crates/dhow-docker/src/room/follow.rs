//! `logs`: the last lines of all containers, and those that come.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bollard::query_parameters::LogsOptions;
use dhow_core::port::{LogLine, LogLines, Tail, TargetError};
use futures::stream::{self, BoxStream, SelectAll, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Room, Seen, line};
use crate::engine::error;

/// Lines that wait for a reader; a slow one slows the engine.
const WAITING: usize = 256;
/// Most bytes of one container's last lines: the older ones are left out.
const MOST: usize = 4 << 20;
/// Containers that are asked at a time.
const WIDTH: usize = 8;
/// How often new containers are looked for.
const LOOK: Duration = Duration::from_secs(1);

type Told = mpsc::Sender<Result<LogLine, TargetError>>;

/// What comes of a container that is followed: a line, or the end of its stream.
enum Came {
    Line(String, LogLine),
    End(String),
}

impl Room {
    /// The last lines of the containers that are meant, by time; with `follow`, what they write from then on, and what
    /// containers write that come later. All that is behind the stream ends when it is dropped.
    ///
    /// # Errors
    /// `Failed`: a name is given that none of them has.
    pub(crate) async fn follow(self, tail: Tail) -> Result<LogLines, TargetError> {
        let first = self.wanted(tail.container.as_ref()).await?;
        let (tell, heard) = mpsc::channel(WAITING);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let done = match tail.follow {
                true => self.follow_all(&tail, &tell).await,
                false => self.last(first, tail.lines, &tell).await,
            };
            if let Err(error) = done {
                // A reader who has gone away needs no error.
                let _ = tell.send(Err(error)).await;
            }
        }));
        let lines = stream::unfold((heard, task), |(mut heard, task)| async move {
            heard.recv().await.map(|line| (line, (heard, task)))
        });
        Ok(Box::pin(lines))
    }

    async fn last(&self, found: Vec<Seen>, lines: usize, tell: &Told) -> Result<(), TargetError> {
        let tails: Vec<Vec<LogLine>> = stream::iter(found)
            .map(|seen| async move { self.tail(&seen, lines).await })
            .buffered(WIDTH)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let mut all: Vec<LogLine> = tails.into_iter().flatten().collect();
        // Stable: lines of one container stay in their order.
        all.sort_by(|a, b| a.at.cmp(&b.at));
        for line in all {
            if tell.send(Ok(line)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn tail(&self, seen: &Seen, lines: usize) -> Result<Vec<LogLine>, TargetError> {
        let mut found: VecDeque<LogLine> = VecDeque::new();
        let mut size = 0;
        let options = LogsOptions { tail: lines.to_string(), ..options() };
        let mut messages = Box::pin(self.docker.logs(&seen.id, Some(options)));
        while let Some(message) = messages.next().await {
            let message = match message {
                Ok(message) => message,
                // It was removed meanwhile.
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                    break;
                }
                Err(error) => return Err(error::api(&error)),
            };
            for line in line::lines(seen, &message) {
                size += line.text.len();
                found.push_back(line);
            }
            while size > MOST || found.len() > lines {
                let Some(old) = found.pop_front() else { break };
                size -= old.text.len();
            }
        }
        Ok(found.into())
    }

    async fn follow_all(&self, tail: &Tail, tell: &Told) -> Result<(), TargetError> {
        let mut streams: SelectAll<BoxStream<'_, Came>> = SelectAll::new();
        // Of each container, the time of its last line, and whether it is followed now.
        let mut known: BTreeMap<String, (Option<String>, bool)> = BTreeMap::new();
        let mut look = tokio::time::interval(LOOK);
        let mut first = true;
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let mut all = self.containers().await?;
                    if let Some(name) = &tail.container {
                        all.retain(|one| name.names(&one.component, &one.name, &one.id));
                    }
                    let gone: Vec<String> =
                        known.keys().filter(|id| !all.iter().any(|one| one.id == **id)).cloned().collect();
                    for id in gone {
                        known.remove(&id);
                    }
                    for seen in all {
                        let (last, open) = known.get(&seen.id).cloned().unwrap_or_default();
                        let new = !known.contains_key(&seen.id);
                        if !open && (seen.running || new) {
                            // What was there at the start is read from its tail on; what comes later, from its begin.
                            let lines = (first && new).then_some(tail.lines);
                            known.insert(seen.id.clone(), (last.clone(), true));
                            streams.push(self.followed(seen, lines, last));
                        }
                    }
                    first = false;
                }
                Some(came) = streams.next(), if !streams.is_empty() => match came {
                    Came::End(id) => {
                        if let Some(one) = known.get_mut(&id) {
                            one.1 = false;
                        }
                    }
                    Came::Line(id, line) => {
                        if let Some(one) = known.get_mut(&id) {
                            // The engine gives lines from a whole second on: those that were told are left out.
                            if line.at.is_some() && line.at <= one.0 {
                                continue;
                            }
                            one.0 = line.at.clone().or(one.0.take());
                        }
                        if tell.send(Ok(line)).await.is_err() {
                            return Ok(());
                        }
                    }
                },
                () = tell.closed() => return Ok(()),
            }
        }
    }

    /// The lines of one container until it ends, or the engine says no more.
    fn followed(&self, seen: Seen, lines: Option<usize>, last: Option<String>) -> BoxStream<'static, Came> {
        let options = LogsOptions {
            follow: true,
            since: last.as_deref().map_or(0, seconds),
            tail: lines.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
            ..options()
        };
        let docker = self.docker.clone();
        let id = seen.id.clone();
        let messages = docker.logs(&seen.id, Some(options)).flat_map(move |message| {
            let lines = message.map(|message| line::lines(&seen, &message)).unwrap_or_default();
            let id = seen.id.clone();
            stream::iter(lines.into_iter().map(move |line| Came::Line(id.clone(), line)))
        });
        messages.chain(stream::once(async move { Came::End(id) })).boxed()
    }
}

fn options() -> LogsOptions {
    LogsOptions { stdout: true, stderr: true, timestamps: true, ..Default::default() }
}

/// The whole seconds since 1970 of an engine's time; 0 where it is none.
fn seconds(at: &str) -> i32 {
    let parsed: Option<jiff::Timestamp> = at.parse().ok();
    parsed.and_then(|at| i32::try_from(at.as_second()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_asked_for_by_its_whole_second() {
        assert_eq!(seconds("1970-01-01T00:01:00.999999999Z"), 60);
        assert_eq!(seconds("never"), 0);
    }
}
