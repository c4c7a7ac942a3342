//! Steps are done here. Every effect runs under the deployment's lock at the place.

use dhow_core::port::{Context, SentFile, Settled, Step, TargetError};

use super::body::{Action, Beside, Body, Change, Current, Manifest, Stack, value};
use super::site::{Site, Turn};
use super::{ComposeTarget, error};

impl ComposeTarget {
    pub(super) async fn execute_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (site, body, turn) = self.enter(step, context).await?;
        match Action::of(step)? {
            Action::Files { manifest, override_file, data } => {
                let release = format!("{}-{}", context.hash, spelled(&override_file));
                send_contents(&site, &body, &manifest, context).await?;
                let own = data.values().filter(|folder| folder.starts_with(&site.root)).cloned();
                site.enter(turn, &own.collect::<Vec<_>>()).await?;
                let write = async |name: &str, text: String| {
                    let path = format!("{}/{name}", site.root);
                    site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)
                };
                write("data.json", value(&data).to_string()).await?;
                write("project", body.project.clone()).await?;
                let files = Site::release_files(&body, Some((&override_file, &manifest)));
                site.executor.send(&site.release(&release), &files).await.map_err(error::executor)
            }
            Action::Pull { in_the_way: Some(told), .. } => Err(TargetError::Blocked(told)),
            Action::Pull { images, platforms, in_the_way: None } => {
                let api = site.api().await?;
                super::pull::pull(&site, &api, self.logins.as_ref(), &images, &platforms, context).await
            }
            Action::Beside(beside) => self.start_beside(&site, &body, &beside, step, context).await,
            Action::Recreate(change) => self.recreate(&site, &body, &change, step, context).await,
            Action::Route { change, beside } => {
                self.route(&site, &body, &beside.old, false, context).await?;
                site.set_current(Some(&now(&site, &body, &change, context))).await
            }
            Action::Record { change } => site.set_current(Some(&now(&site, &body, &change, context))).await,
            Action::Stable => self.stays_up(&site, &body, step, context).await,
            Action::Drain { old, services } => self.drain(&site, &body, &old, &services, context).await,
            Action::Prune => self.prune(&site, &body, context).await,
        }
    }

    pub(super) async fn undo_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (site, body, turn) = self.enter(step, context).await?;
        match Action::of(step)? {
            Action::Recreate(change) => self.restore(&site, &body, &change, context).await,
            Action::Route { change, beside } => {
                if site.current().await?.is_some_and(|now| now.stack == stack_of(&site, &body, &change)) {
                    self.route(&site, &body, &beside.old, true, context).await?;
                }
                site.set_current(change.current.as_ref()).await
            }
            Action::Record { change } => site.set_current(change.current.as_ref()).await,
            Action::Beside(beside) => {
                let api = site.api().await?;
                let new = api.containers(&body.project).await?.into_iter().filter(|facts| {
                    beside.hashes.get(&facts.service) == Some(&facts.config_hash)
                        && !beside.old.contains(&facts.id)
                        && !beside.first.contains(&facts.service)
                });
                remove(&site, turn, new.map(|facts| facts.id).collect(), &["rm", "-f", "-v"]).await
            }
            Action::Files { .. }
            | Action::Pull { .. }
            | Action::Stable
            | Action::Drain { .. }
            | Action::Prune => Ok(()),
        }
    }

    pub(super) async fn settle_at(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let executor = self.executors.at(&step.place).await.map_err(error::executor)?;
        let site = Site::new(executor, &context.rendered.deployment, &self.options).await?;
        let body = Body::of(&context.rendered)?;
        let done = match Action::of(step)? {
            Action::Files { override_file, .. } => {
                let folder = site.release(&format!("{}-{}", context.hash, spelled(&override_file)));
                !site.executor.list(&folder).await.map_err(error::executor)?.is_empty()
            }
            Action::Recreate(change) | Action::Record { change } | Action::Route { change, .. } => {
                let wanted = stack_of(&site, &body, &change);
                if change.current.as_ref().is_some_and(|before| before.stack == wanted) {
                    return Ok(Settled::Unknown);
                }
                site.current().await?.is_some_and(|now| now.hash == Some(context.hash) && now.stack == wanted)
            }
            Action::Pull { .. }
            | Action::Beside(_)
            | Action::Stable
            | Action::Drain { .. }
            | Action::Prune => {
                return Ok(Settled::Unknown);
            }
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    /// Refuses a lower epoch before anything else.
    async fn enter(&self, step: &Step, context: &Context) -> Result<(Site, Body, Turn), TargetError> {
        let executor = self.executors.at(&step.place).await.map_err(error::executor)?;
        let site = Site::new(executor, &context.rendered.deployment, &self.options).await?;
        let turn = Turn::from(context);
        site.enter(turn, &[]).await?;
        Ok((site, Body::of(&context.rendered)?, turn))
    }

    pub(super) fn up(
        &self,
        site: &Site,
        body: &Body,
        stack: &Stack,
        more: &[String],
    ) -> dhow_core::port::Command {
        let mut arguments = vec!["up".to_owned(), "-d".to_owned()];
        if !self.options.allow_build {
            arguments.extend(["--no-build", "--pull", "never"].map(String::from));
        }
        arguments.extend(more.iter().cloned());
        site.compose(&body.project, Some(stack), arguments)
    }

    async fn recreate(
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
        self.route(site, body, &[], false, context).await?;
        site.set_current(Some(&now(site, body, change, context))).await
    }

    /// What ran before runs again.
    async fn restore(
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
                site.change(turn, "starting what ran before", &up).await?;
                self.route(site, body, &[], true, context).await?;
            }
            (None, true) if by_us => {
                return Err(TargetError::Blocked(format!(
                    "{} was not started by Compose files that are known, so what ran before cannot be brought back; \
                     start it by hand, or roll out a release",
                    body.project
                )));
            }
            (None, true) => {}
            (_, false) => super::remove::down(site, turn, &body.project).await?,
        }
        site.set_current(change.current.as_ref()).await
    }

    async fn start_beside(
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

    async fn drain(
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

/// What is applied when a step is through.
fn now(site: &Site, body: &Body, change: &Change, context: &Context) -> Current {
    Current {
        deployment: context.rendered.deployment.clone(),
        project: body.project.clone(),
        hash: Some(context.hash),
        stack: stack_of(site, body, change),
    }
}

fn stack_of(site: &Site, body: &Body, change: &Change) -> Stack {
    Site::stack(&site.release(&change.release), body, true)
}

/// `docker <verb> <containers>`; nothing where there are none.
async fn remove(site: &Site, turn: Turn, ids: Vec<String>, verb: &[&str]) -> Result<(), TargetError> {
    if ids.is_empty() {
        return Ok(());
    }
    let arguments =
        std::iter::once("container".to_owned()).chain(verb.iter().map(|v| (*v).to_owned())).chain(ids);
    site.change(turn, "stopping containers", &site.docker(arguments)).await.map(drop)
}

/// The part of a release folder's name that says how its override is spelled.
pub(super) fn spelled(override_file: &str) -> String {
    dhow_core::noun::Digest::of(override_file.as_bytes()).hex().chars().take(8).collect()
}

/// Sends the content that the place does not have.
async fn send_contents(
    site: &Site,
    body: &Body,
    manifest: &Manifest,
    context: &Context,
) -> Result<(), TargetError> {
    for content in body.content.values().filter(|content| manifest.content.contains(&content.hash)) {
        let folder = site.content(&content.hash, "");
        let folder = folder.trim_end_matches('/');
        if !site.executor.list(folder).await.map_err(error::executor)?.is_empty() {
            continue;
        }
        let Some(tree) = &context.tree else {
            return Err(TargetError::Blocked(format!(
                "the server does not have the files of release {}, and the fleet's commit that has them cannot be had \
                 any more; push that commit again, or roll out another release",
                context.hash.short()
            )));
        };
        let mut files = Vec::new();
        for file in &content.files {
            let bytes = tree.read(&file.from).ok().flatten().ok_or_else(|| {
                TargetError::Failed(format!("{} cannot be read from the fleet's commit", file.from))
            })?;
            files.push(SentFile {
                path: super::path::join(&content.name, &file.path),
                content: bytes.into(),
                mode: if file.executable { 0o755 } else { 0o644 },
            });
        }
        site.executor.send(folder, &files).await.map_err(error::executor)?;
    }
    Ok(())
}
