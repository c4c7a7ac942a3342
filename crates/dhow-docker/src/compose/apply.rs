//! Steps are done here. Every effect runs under the deployment's lock at the place.

use dhow_core::fleet::Isolation;
use dhow_core::port::{Context, Settled, Step, Stream, TargetError};

use super::api::Facts;
use super::body::{Action, Body, Change, Current, Manifest, Stack};
use super::routes::Noted;
use super::send::{release_name, send};
use super::site::{Site, Turn};
use super::{ComposeTarget, error, isolate};

impl ComposeTarget {
    pub(super) async fn execute_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let action = Action::of(step)?;
        let (site, body) = match action {
            // Their first effect is a command under the lock, which refuses a lower epoch by itself.
            Action::Pull { .. } | Action::Beside(_) | Action::Recreate(_) | Action::Stable => {
                (self.site(&context.rendered.deployment, &step.place).await?, Body::of(&context.rendered)?)
            }
            _ => {
                let (site, body, _) = self.enter(step, context).await?;
                (site, body)
            }
        };
        match action {
            Action::Files { override_file, content, data } => {
                let look = self.look(&context.rendered, &body, &step.place).await?;
                let manifest = Manifest { content, ..look.manifest };
                isolate::made(&site, &body, context.into()).await?;
                isolate::met(&site, &body, context.into()).await?;
                send(&site, &body, &manifest, &override_file, &data, context).await
            }
            Action::Pull { platforms, in_the_way } => {
                let api = site.api().await?;
                if in_the_way {
                    // A person may have acted since the plan was made.
                    let seen = self.look(&context.rendered, &body, &step.place).await?.seen;
                    if let Some(told) = seen.in_the_way() {
                        return Err(TargetError::Blocked(told));
                    }
                }
                self.has_room(&site, &api, &body, &platforms, context).await?;
                super::pull::pull(&site, &api, self.logins.as_ref(), &platforms, context).await
            }
            Action::Beside(beside) => self.start_beside(&site, &body, &beside, step, context).await,
            Action::Recreate(change) => self.recreate(&site, &body, &change, step, context).await,
            Action::Route { change, beside } => {
                self.route(&site, &body, &change, &beside.old, context).await?;
                site.set_current(Some(&self.now(&site, &body, &change, context))).await
            }
            Action::Record { change } => {
                site.set_current(Some(&self.now(&site, &body, &change, context))).await
            }
            Action::Reroute { change } => {
                self.route(&site, &body, &change, &[], context).await?;
                site.set_current(Some(&self.now(&site, &body, &change, context))).await
            }
            Action::Refuse { because } => Err(TargetError::Blocked(because)),
            Action::Stable => self.stays_up(&site, &body, step, context).await,
            Action::Drain { old, services, route } => {
                self.drain(&site, &body, (&old, &services), route.as_ref(), context).await
            }
            Action::Prune => {
                self.leave_former(&site, context).await?;
                if body.isolation != Isolation::Site {
                    isolate::left(&site, &body.project, context.into()).await?;
                }
                let full = Self::fullness(&self.options, &site, &site.api().await?).await.0;
                if let Some(told) = &full {
                    context
                        .log
                        .line(Stream::Err, &format!("{told}; of old releases only the one before is kept"));
                }
                self.prune(&site, &body, context, full.is_some()).await
            }
        }
    }

    pub(super) async fn undo_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (site, body, turn) = self.enter(step, context).await?;
        match Action::of(step)? {
            Action::Recreate(change) => self.restore(&site, &body, &change, context).await,
            Action::Route { change, beside } => {
                // It may have been cut off between the proxy and the note of it.
                // What the change left alone ran before, too.
                let ran = |facts: &Facts| {
                    beside.old.contains(&facts.id) || !beside.hashes.contains_key(&facts.service)
                };
                self.route_back(&site, &body, &change, ran, context).await?;
                site.set_current(change.current.as_ref()).await
            }
            Action::Reroute { change } => {
                self.route_back(&site, &body, &change, |_| true, context).await?;
                site.set_current(change.current.as_ref()).await
            }
            Action::Record { change } => site.set_current(change.current.as_ref()).await,
            Action::Beside(beside) => {
                let api = site.api().await?;
                let new = api.containers(&body.project).await?.into_iter().filter(|facts| {
                    // Without a hash, every container that was there is among the old ones.
                    let hash = beside.hashes.get(&facts.service);
                    hash.is_some_and(|hash| hash.is_empty() || *hash == facts.config_hash)
                        && !beside.old.contains(&facts.id)
                        && !beside.first.contains(&facts.service)
                });
                remove(&site, turn, new.map(|facts| facts.id).collect(), &["rm", "-f", "-v"]).await
            }
            Action::Files { .. }
            | Action::Pull { .. }
            | Action::Stable
            | Action::Drain { .. }
            | Action::Refuse { .. }
            | Action::Prune => Ok(()),
        }
    }

    pub(super) async fn settle_at(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let executor = self.executors.at(&step.place).await.map_err(error::executor)?;
        let site = Site::new(executor, &context.rendered.deployment, &self.options).await?;
        let body = Body::of(&context.rendered)?;
        let done = match Action::of(step)? {
            Action::Files { override_file, .. } => {
                let folder = site.release(&release_name(context, &override_file));
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
            | Action::Reroute { .. }
            | Action::Refuse { .. }
            | Action::Prune => {
                return Ok(Settled::Unknown);
            }
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    /// What is applied when a step is through.
    pub(super) fn now(&self, site: &Site, body: &Body, change: &Change, context: &Context) -> Current {
        let place = site.place();
        let route = body.route.clone().filter(|_| self.routes.serves(&place));
        let proxy = route.as_ref().and_then(|_| self.routes.proxy(&place, &context.rendered.places));
        let before = change.current.iter();
        let had = before.flat_map(|current| current.former.iter().chain(&current.proxy));
        let mut former: Vec<Noted> = Vec::new();
        for noted in had.filter(|noted| proxy.as_ref().is_none_or(|proxy| !proxy.is(noted))) {
            if !former.iter().any(|known| known.is(noted)) {
                former.push(noted.clone());
            }
        }
        Current {
            gap_ms: None,
            deployment: context.rendered.deployment.clone(),
            project: body.project.clone(),
            hash: Some(context.hash),
            stack: stack_of(site, body, change),
            route,
            proxy,
            former,
        }
    }

    /// Refuses a lower epoch before anything else.
    async fn enter<'a>(
        &self,
        step: &Step,
        context: &'a Context,
    ) -> Result<(Site, Body, Turn<'a>), TargetError> {
        let executor = self.executors.at(&step.place).await.map_err(error::executor)?;
        let site = Site::new(executor, &context.rendered.deployment, &self.options).await?;
        let turn = Turn::from(context);
        site.enter(turn).await?;
        Ok((site, Body::of(&context.rendered)?, turn))
    }
}

pub(super) fn stack_of(site: &Site, body: &Body, change: &Change) -> Stack {
    Site::stack(&site.release(&change.release), body, true)
}

/// `docker <verb> <containers>`; nothing where there are none.
pub(super) async fn remove(
    site: &Site,
    turn: Turn<'_>,
    ids: Vec<String>,
    verb: &[&str],
) -> Result<(), TargetError> {
    if ids.is_empty() {
        return Ok(());
    }
    let arguments =
        std::iter::once("container".to_owned()).chain(verb.iter().map(|v| (*v).to_owned())).chain(ids);
    site.change(turn, "stopping containers", &site.docker(arguments)).await.map(drop)
}
