//! Steps are done here. Every effect runs under the deployment's lock at the place.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::port::{Context, Settled, Step, Stream, TargetError};

use super::api::TaskFacts;
use super::body::{Action, Body, Change, Current, Manifest};
use super::converge::{Converged, Halt, Wait, failures};
use super::judge::{Before, ended};
use super::observe::{Look, manifest, note, service_names, specs};
use super::spelling::LABEL;
use super::{SwarmTarget, deploy, images};
use crate::compose::site::{Site, Turn};
use crate::engine::api::Api;
use crate::engine::error;
use crate::files::content;

/// For what running tasks were made, as [`Before`] has it.
pub(super) const TASKS: &str = "tasks.json";

impl SwarmTarget {
    pub(super) async fn execute_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (site, body) = self.enter(step, context).await?;
        match Action::of(step)? {
            Action::Files { release } => {
                let look = self.look(&context.rendered, &body, &step.place).await?;
                send(&look, &body, &release, context).await
            }
            Action::Images { images } => images::look(&site, self.logins.as_ref(), &images).await,
            Action::Deploy(change) => self.deploy(&site, &body, &change, context).await,
            Action::Record(change) => {
                let (services, _) = site.api().await?.stack(&body.stack).await?;
                note(&site, Some(&now(&body, &change, context, &services))).await
            }
            Action::Stable => {
                let api = site.api().await?;
                let current: Option<Current> = site.json("current.json").await?;
                let failed = match current {
                    Some(current) => current.failed,
                    None => failures(&api.tasks(&body.stack).await?),
                };
                let before = Before { failed, ..Before::default() };
                let look = self.look(&context.rendered, &body, &step.place).await?;
                let names = service_names(&look.seen);
                self.wait(&api, &body, &names, &before).stays(self.options.stable).await
            }
            Action::Prune => self.prune(&site, &body, context).await,
        }
    }

    pub(super) async fn undo_at(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (site, body) = self.enter(step, context).await?;
        match Action::of(step)? {
            Action::Deploy(change) => self.restore(&site, &body, &change, context).await,
            Action::Record(change) => note(&site, change.current.as_ref()).await,
            Action::Files { .. } | Action::Images { .. } | Action::Stable | Action::Prune => Ok(()),
        }
    }

    pub(super) async fn settle_at(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let site = self.site(&context.rendered.deployment, &step.place).await?;
        let done = match Action::of(step)? {
            Action::Files { release } => {
                !site.executor.list(&site.release(&release)).await.map_err(error::executor)?.is_empty()
            }
            Action::Deploy(change) | Action::Record(change) => {
                if change.current.as_ref().is_some_and(|before| before.release == change.release) {
                    return Ok(Settled::Unknown);
                }
                let current: Option<Current> = site.json("current.json").await?;
                current.is_some_and(|now| now.hash == Some(context.hash) && now.release == change.release)
            }
            Action::Images { .. } | Action::Stable | Action::Prune => return Ok(Settled::Unknown),
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    /// Refuses a lower epoch before anything else.
    async fn enter(&self, step: &Step, context: &Context) -> Result<(Site, Body), TargetError> {
        let site = self.site(&context.rendered.deployment, &step.place).await?;
        site.enter(Turn::from(context)).await?;
        Ok((site, Body::of(&context.rendered)?))
    }

    pub(super) fn wait<'a>(
        &self,
        api: &'a Api,
        body: &'a Body,
        services: &'a [String],
        before: &'a Before,
    ) -> Wait<'a> {
        Wait { api, stack: &body.stack, services, before, still: self.options.start }
    }

    async fn deploy(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        context: &Context,
    ) -> Result<(), TargetError> {
        let api = site.api().await?;
        let converged = self.hand_over(site, &api, body, &change.release, context).await;
        let Converged { gap, failed, rejected } = match converged {
            // Neither version nor files are to blame: what ran goes on until it can be done.
            Err(Halt::Certain(error @ (TargetError::Blocked(_) | TargetError::Passing(_)))) => {
                self.restore(site, body, change, context).await?;
                return Err(error);
            }
            other => other.map_err(Halt::into_error)?,
        };
        rejected.iter().for_each(|told| context.log.line(Stream::Err, told));
        let gap_ms = gap.filter(|_| change.present).and_then(|gap| u64::try_from(gap.as_millis()).ok());
        if let Some(gap_ms) = gap_ms {
            let told = format!("{}: no task of a service ran for {gap_ms} ms", body.stack);
            context.log.line(Stream::Out, &told);
        }
        let (services, _) = api.stack(&body.stack).await?;
        note(site, Some(&Current { gap_ms, failed, ..now(body, change, context, &services) })).await
    }

    /// Deploys a release and waits until the swarm has got there.
    async fn hand_over(
        &self,
        site: &Site,
        api: &Api,
        body: &Body,
        release: &str,
        context: &Context,
    ) -> Result<Converged, Halt> {
        let of_release = whole(site, release).await?;
        let before = self.before(site, api, body).await?;
        let (logins, turn) = (self.logins.as_ref(), Turn::from(context));
        deploy::deploy(site, logins, &body.stack, release, of_release.images.values(), turn).await?;
        self.replaced(site, api, body, &before, turn).await?;
        let names: Vec<String> = of_release.hashes.into_keys().collect();
        self.wait(api, body, &names, &before).converge().await
    }

    /// Swarm leaves tasks alone where both their ports and where they may run have changed, and the node still fits: it
    /// looks at the latter first, and not at the ports then. They are made anew by our word.
    async fn replaced(
        &self,
        site: &Site,
        api: &Api,
        body: &Body,
        before: &Before,
        turn: Turn<'_>,
    ) -> Result<(), TargetError> {
        let (services, tasks) = api.stack(&body.stack).await?;
        for service in &services {
            let left_alone = |task: &&TaskFacts| {
                let made_for = before.endpoints.get(&task.id);
                task.service_id == service.id
                    && !ended(task)
                    && made_for.is_some_and(|made_for| *made_for != service.endpoint)
                    && task.made_of == service.tasks_of
                    && task.placed != service.placed
            };
            if tasks.iter().any(|task| left_alone(&task)) {
                let name = format!("{}_{}", body.stack, service.name);
                let command = site.docker(["service", "update", "--force", "--detach", name.as_str()]);
                site.change(turn, &format!("making the tasks of {name} anew"), &command).await?;
            }
        }
        Ok(())
    }

    /// What stands before a change is handed over. For what running tasks were made is noted at the place: whoever takes
    /// the change up again after a crash could not tell any more.
    async fn before(&self, site: &Site, api: &Api, body: &Body) -> Result<Before, TargetError> {
        let (services, tasks) = api.stack(&body.stack).await?;
        let noted: BTreeMap<String, String> = site.json(TASKS).await?.unwrap_or_default();
        let made_for = |task: &TaskFacts| {
            let now = || services.iter().find(|service| service.id == task.service_id);
            let made_for = noted.get(&task.id).cloned().or_else(|| now().map(|now| now.endpoint.clone()));
            Some((task.id.clone(), made_for?))
        };
        let live = tasks.iter().filter(|task| !ended(task));
        let endpoints: BTreeMap<String, String> = live.filter_map(made_for).collect();
        if endpoints != noted {
            let path = format!("{}/{TASKS}", site.root);
            let text = crate::stored::value(&endpoints).to_string();
            site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)?;
        }
        Ok(Before { failed: failures(&tasks), endpoints })
    }

    /// What ran before runs again.
    async fn restore(
        &self,
        site: &Site,
        body: &Body,
        change: &Change,
        context: &Context,
    ) -> Result<(), TargetError> {
        let api = site.api().await?;
        let (services, _) = api.stack(&body.stack).await?;
        match (&change.current, change.present) {
            (_, false) => deploy::remove(site, &body.stack, Turn::from(context)).await?,
            (Some(before), true) if before.specs != specs(&services) => {
                let back = self.hand_over(site, &api, body, &before.release, context).await;
                back.map_err(Halt::into_error)?;
                let (services, _) = api.stack(&body.stack).await?;
                return note(site, Some(&Current { specs: specs(&services), ..before.clone() })).await;
            }
            (Some(_), true) => {}
            (None, true) => {
                let mine = manifest(site, &change.release).await?.unwrap_or_default();
                if services.iter().any(|service| {
                    service.labels.get(LABEL) == mine.hashes.get(&service.name)
                        && service.labels.contains_key(LABEL)
                }) {
                    return Err(TargetError::Blocked(format!(
                        "{} was not deployed from files that are known, so what ran before cannot be brought back; \
                         deploy it by hand, or commit a version that runs",
                        body.stack
                    )));
                }
            }
        }
        note(site, change.current.as_ref()).await
    }
}

/// What is applied when a step is through.
fn now(body: &Body, change: &Change, context: &Context, services: &[super::api::ServiceFacts]) -> Current {
    Current {
        deployment: context.rendered.deployment.clone(),
        stack: body.stack.clone(),
        hash: Some(context.hash),
        release: change.release.clone(),
        specs: specs(services),
        failed: BTreeSet::new(),
        gap_ms: None,
    }
}

/// What a release says of itself.
async fn whole(site: &Site, release: &str) -> Result<Manifest, TargetError> {
    manifest(site, release).await?.ok_or_else(|| {
        TargetError::Blocked(format!(
            "the folder {} is not there any more; `dhow sync SERVICE ENVIRONMENT` sends it anew",
            site.release(release)
        ))
    })
}

/// Sends a release with its content. What the place has already stays as it is; a crash leaves folders whole or not
/// there.
async fn send(look: &Look, body: &Body, release: &str, context: &Context) -> Result<(), TargetError> {
    let site = &look.site;
    let used = body.content.values().filter(|content| look.manifest.content.contains(&content.hash));
    content::send(site.executor.as_ref(), &site.root, used, context).await?;
    let own: Vec<String> =
        look.data.values().filter(|folder| folder.starts_with(&site.root)).cloned().collect();
    if !own.is_empty() {
        site.make(context.into(), &own).await?;
    }
    let write = async |name: &str, text: String| {
        let path = format!("{}/{name}", site.root);
        site.executor.write(&path, text.as_bytes(), 0o600).await.map_err(error::executor)
    };
    if !look.data.is_empty() {
        write("data.json", crate::stored::value(&look.data).to_string()).await?;
    }
    write("stack", body.stack.clone()).await?;
    look.send(body, release).await
}
