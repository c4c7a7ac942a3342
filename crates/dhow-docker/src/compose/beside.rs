//! New containers beside old ones, and the old ones away.

use std::time::Duration;

use dhow_core::fleet::Route;
use dhow_core::port::{Context, Step, Stream, TargetError};
use tokio::time::{Instant, sleep};

use super::ComposeTarget;
use super::apply::remove;
use super::body::{Beside, Body};
use super::routes::{Prepared, RouteChange};
use super::site::{Site, Turn};

/// Between two looks at a container that does not take connections yet.
const PAUSE: Duration = Duration::from_millis(50);

impl ComposeTarget {
    /// Starts the new containers and waits until they are ready. Again: those that are there count.
    pub(super) async fn start_beside(
        &self,
        site: &Site,
        body: &Body,
        beside: &Beside,
        step: &Step,
        context: &Context,
    ) -> Result<(), TargetError> {
        let turn = Turn::from(context);
        let stack = Site::stack(&site.release(&beside.release), body, true);
        if !beside.first.is_empty() {
            let mut more = vec!["--no-deps".to_owned()];
            more.extend(beside.first.iter().cloned());
            site.change(turn, &step.summary, &self.up(site, body, &stack, &more)).await?;
            self.ready(site, body, &beside.first, beside).await?;
        }
        let mut more = ["--no-deps", "--no-recreate"].map(String::from).to_vec();
        let there = site.api().await?.containers(&body.project).await?;
        for (service, replicas) in &beside.replicas {
            let old = there.iter().filter(|f| f.service == *service && beside.old.contains(&f.id)).count();
            more.extend(["--scale".to_owned(), format!("{service}={}", replicas + old)]);
        }
        let services: Vec<String> = beside.replicas.keys().chain(&beside.created).cloned().collect();
        more.extend(services.iter().cloned());
        site.change(turn, &step.summary, &self.up(site, body, &stack, &more)).await?;
        super::isolate::met(site, body, turn).await?;
        self.ready(site, body, &services, beside).await?;
        match self.route_change(site, body, (None, &beside.old), context).await? {
            Some(change) => self.listening(site, body, &change, &services, beside, context).await,
            None => Ok(()),
        }
    }

    /// Waits until the new containers take connections; told is what people should know of the proxy.
    pub(super) async fn listening(
        &self,
        site: &Site,
        body: &Body,
        change: &RouteChange,
        services: &[String],
        beside: &Beside,
        context: &Context,
    ) -> Result<(), TargetError> {
        let until = Instant::now() + self.options.start;
        loop {
            match self.routes.prepare(change).await? {
                Prepared::Ready(notes) => {
                    notes.iter().for_each(|note| context.log.line(Stream::Err, note));
                    return Ok(());
                }
                Prepared::NotListening(why) if Instant::now() >= until => {
                    return Err(TargetError::Failed(format!(
                        "{why}, {:?} after it started",
                        self.options.start
                    )));
                }
                // One that has ended meanwhile is told with its log.
                Prepared::NotListening(_) => self.ready(site, body, services, beside).await?,
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until nobody uses the old containers, to which the route `had` led, stops and removes them.
    pub(super) async fn drain(
        &self,
        site: &Site,
        body: &Body,
        (old, services): (&[String], &[String]),
        had: Option<&Route>,
        context: &Context,
    ) -> Result<(), TargetError> {
        if !services.is_empty()
            && let Some(change) = self.route_change(site, body, (had, old), context).await?
            && let Some(told) = self.routes.drain(&change).await?
        {
            context.log.line(Stream::Err, &told);
        }
        // Only what is of the project still: an id that another project has by now is not ours to stop.
        let ours = site.api().await?.containers(&body.project).await?;
        let left: Vec<String> =
            ours.into_iter().map(|facts| facts.id).filter(|id| old.contains(id)).collect();
        let turn = Turn::from(context);
        remove(site, turn, left.clone(), &["stop"]).await?;
        remove(site, turn, left, &["rm", "-v"]).await
    }
}
