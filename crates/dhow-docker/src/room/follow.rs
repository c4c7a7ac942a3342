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
/// Most bytes of one container's last lines, and of all containers' together: the older ones are left out.
const MOST: usize = 4 << 20;
const MOST_OF_ALL: usize = 32 << 20;
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
        let most = MOST.min(MOST_OF_ALL / found.len().max(1));
        let tails: Vec<Vec<LogLine>> = stream::iter(found)
            .map(|seen| async move { self.tail(&seen, lines, most).await })
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

    async fn tail(&self, seen: &Seen, lines: usize, most: usize) -> Result<Vec<LogLine>, TargetError> {
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
                size += cost(&line);
                found.push_back(line);
            }
            while size > most || found.len() > lines {
                let Some(old) = found.pop_front() else { break };
                size -= cost(&old);
            }
        }
        Ok(found.into())
    }

    async fn follow_all(&self, tail: &Tail, tell: &Told) -> Result<(), TargetError> {
        let mut streams: SelectAll<BoxStream<'_, Came>> = SelectAll::new();
        let mut known: BTreeMap<String, Followed> = BTreeMap::new();
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
                        let new = !known.contains_key(&seen.id);
                        let one = known.entry(seen.id.clone()).or_default();
                        if !one.open && (seen.running || new) {
                            // What was there at the start is read from its tail on; what comes later, from its begin.
                            let lines = (first && new).then_some(tail.lines);
                            one.begin();
                            streams.push(self.followed(seen, lines, one.last.clone()));
                        }
                    }
                    first = false;
                }
                Some(came) = streams.next(), if !streams.is_empty() => match came {
                    Came::End(id) => {
                        if let Some(one) = known.get_mut(&id) {
                            one.open = false;
                        }
                    }
                    Came::Line(id, line) => {
                        if known.get_mut(&id).is_some_and(|one| !one.is_new(line.at.as_deref())) {
                            continue;
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

/// What was told of a container that is followed.
#[derive(Debug, Default)]
struct Followed {
    /// It is followed now.
    open: bool,
    /// The time of its last line, and how many lines of this very time were told.
    last: Option<String>,
    same: usize,
    /// What of a stream that was begun again was told already: all before this time, and so many of it.
    told: Option<(String, usize)>,
}

impl Followed {
    /// Its stream begins, perhaps again: the engine gives lines from a whole second on.
    fn begin(&mut self) {
        self.open = true;
        self.told = self.last.clone().map(|last| (last, self.same));
    }

    /// The line of this time was not told yet; it counts as told from now on.
    fn is_new(&mut self, at: Option<&str>) -> bool {
        match (&mut self.told, at) {
            // Without a time it belongs to the line before.
            (Some(_), None) => return false,
            (Some((until, _)), Some(at)) if at < until.as_str() => return false,
            (Some((until, left)), Some(at)) if at == until && *left > 0 => {
                *left -= 1;
                return false;
            }
            _ => self.told = None,
        }
        if let Some(at) = at {
            self.same = if self.last.as_deref() == Some(at) { self.same + 1 } else { 1 };
            self.last = Some(at.to_owned());
        }
        true
    }
}

/// Bytes that a line takes.
fn cost(line: &LogLine) -> usize {
    line.text.len() + line.component.len() + line.container.len() + size_of::<LogLine>() + 32
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
    fn lines_of_one_time_are_all_told_and_none_is_told_twice() {
        let mut one = Followed::default();
        one.begin();
        assert!(one.is_new(Some("1")) && one.is_new(Some("2")) && one.is_new(Some("2")));
        one.begin();
        assert!(
            !one.is_new(Some("1")) && !one.is_new(None) && !one.is_new(Some("2")) && !one.is_new(Some("2"))
        );
        assert!(one.is_new(Some("2")) && one.is_new(None) && one.is_new(Some("3")));
        one.begin();
        assert!(!one.is_new(Some("2")) && !one.is_new(Some("3")) && one.is_new(Some("4")));
    }

    #[test]
    fn a_time_is_asked_for_by_its_whole_second() {
        assert_eq!(seconds("1970-01-01T00:01:00.999999999Z"), 60);
        assert_eq!(seconds("never"), 0);
    }
}
