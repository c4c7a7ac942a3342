//! New containers beside old ones, and the old ones away.

use dhow_core::port::{Context, Step, TargetError};

use super::ComposeTarget;
use super::apply::remove;
use super::body::{Beside, Body};
use super::site::{Site, Turn};

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
        self.ready(site, body, &services, beside).await?;
        match self.route_change(site, body, &beside.old, false, context).await? {
            Some(change) => self.routes.prepare(&change).await,
            None => Ok(()),
        }
    }

    /// Waits until nobody uses the old containers, stops and removes them.
    pub(super) async fn drain(
        &self,
        site: &Site,
        body: &Body,
        old: &[String],
        services: &[String],
        context: &Context,
    ) -> Result<(), TargetError> {
        if !services.is_empty()
            && let Some(change) = self.route_change(site, body, old, false, context).await?
        {
            self.routes.drain(&change).await?;
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
