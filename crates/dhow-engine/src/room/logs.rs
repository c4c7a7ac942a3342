//! `logs`: what it writes, at all places together.

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::{LogLines, Tail};
use dhow_core::report::{LogEntries, LogEntry, Which};
use futures::future;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::Spot;
use crate::engine::{Engine, EngineError};

impl Engine {
    /// What a service writes in an environment. A place that does not answer, or no more, is told in the stream; the
    /// others go on. Changes nothing.
    ///
    /// # Errors
    /// `NotFound`: there is no such deployment, or it does not run on that server.
    pub async fn logs(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        which: &Which,
        tail: &Tail,
    ) -> Result<LogEntries, EngineError> {
        let spots = self.spots_of(service, environment, which).await?;
        let streams = spots.into_iter().map(|spot| lines(spot, tail.clone()));
        Ok(Box::pin(stream::select_all(streams)))
    }
}

/// The lines of one place; at the end why there are no more, where that is a problem.
fn lines(spot: Spot, tail: Tail) -> BoxStream<'static, LogEntry> {
    let opened = async move {
        let opened = spot.ask(spot.target.follow(&spot.id, &spot.place, &tail)).await;
        match opened {
            Err(problem) => stream::once(future::ready(LogEntry::Problem(problem))).boxed(),
            Ok(lines) => entries(spot, lines),
        }
    };
    stream::once(opened).flatten().boxed()
}

fn entries(spot: Spot, lines: LogLines) -> BoxStream<'static, LogEntry> {
    lines
        .map(move |line| match line {
            Ok(line) => LogEntry::Line { deployment: spot.id.clone(), place: spot.place.clone(), line },
            Err(error) => LogEntry::Problem(spot.problem(error.to_string())),
        })
        .boxed()
}
