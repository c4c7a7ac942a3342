//! `docker compose up`, and back.

use std::time::SystemTime;

use dhow_core::port::{Command, Context, Step, Stream, TargetError};

use super::apply::stack_of;
use super::body::{Body, Change, Current, Stack};
use super::site::{Site, Turn};
use super::{ComposeTarget, error};

impl ComposeTarget {
    /// `docker compose up` with these files; images are there already.
    pub(super) fn up(&self, site: &Site, body: &Body, stack: &Stack, more: &[String]) -> Command {
        let mut arguments = vec!["up".to_owned(), "-d".to_owned()];
        if !self.options.allow_build {
            arguments.extend(["--no-build", "--pull", "never"].map(String::from));
        }
        arguments.extend(more.iter().cloned());
        site.compose(&body.project, Some(stack), arguments)
    }

    pub(super) async fn recreate(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        step: &Step,
        context: &Context,
    ) -> Result<(), TargetError> {
        let turn = Turn::from(context);
        let stack = stack_of(site, body, change);
        let up = self.up(site, body, &stack, &["--remove-orphans".to_owned()]);
        // Nobody meets an address that is dead, or another's by now.
        let away = self.suspend(site, change, context).await?;
        let begun = SystemTime::now();
        let output = site.try_change(turn, &up).await?;
        if !output.ok() {
            let failure = error::docker(&step.summary, &output);
            return Err(match failure {
                TargetError::Failed(reason) => {
                    let more = self.first_ailing(&context.rendered, body, &step.place).await;
                    TargetError::Failed(more.map_or(reason.clone(), |more| format!("{reason}\n{more}")))
                }
                // Nothing is to blame: what ran goes on until a person has acted.
                other => {
                    self.restore(site, body, change, context).await?;
                    other
                }
            });
        }
        super::isolate::met(site, body, turn).await?;
        let routed = self.listening_and_routed(site, body, change, context).await?;
        let gap =
            site.api().await?.gap(&body.project, begun, routed.as_deref().map(|name| (name, away))).await;
        let gap_ms = gap.filter(|_| change.present).and_then(|gap| u64::try_from(gap.as_millis()).ok());
        if let Some(gap_ms) = gap_ms {
            context.log.line(Stream::Out, &format!("there was no service for {gap_ms} ms"));
        }
        site.set_current(Some(&Current { gap_ms, ..self.now(site, body, change, context) })).await
    }

    /// What ran before runs again.
    pub(super) async fn restore(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        context: &Context,
    ) -> Result<(), TargetError> {
        let turn = Turn::from(context);
        let mine = site.release(&change.release);
        let api = site.api().await?;
        let containers = api.containers(&body.project).await?;
        let by_us = containers.iter().any(|facts| {
            facts
                .labels
                .get("com.docker.compose.project.config_files")
                .is_some_and(|files| files.contains(&mine))
        });
        match (&change.before, change.present) {
            // Started by hand from files that may have changed since: nothing was done, nothing is touched.
            (Some(_), true) if change.current.is_none() && !by_us => {}
            (Some(before), true) => {
                let up = self.up(site, body, before, &["--remove-orphans".to_owned()]);
                self.suspend(site, change, context).await?;
                site.change(turn, "starting what ran before", &up).await?;
                super::isolate::met(site, body, turn).await?;
                self.route_back(site, body, change, |_| true, context).await?;
            }
            (None, true) if by_us => {
                return Err(TargetError::Blocked(format!(
                    "{} was not started by Compose files that are known, so what ran before cannot be brought back; \
                     start it by hand, or commit a version that runs",
                    body.project
                )));
            }
            (None, true) => {}
            (_, false) => {
                // Nothing ran: a route would lead to what is taken away now.
                self.routes.remove(&super::route::end(site, None, context)).await?;
                super::remove::down(site, turn, &body.project).await?;
            }
        }
        site.set_current(change.current.as_ref()).await
    }
}
