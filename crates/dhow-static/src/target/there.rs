//! Servers: the release is unpacked and checked here, sent there, and served by the server's own web server.

use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{
    CheckAddress, Context, Observed, Place, ReleaseOnPlace, Rendered, Settled, Step, Stream, TargetError,
};

use super::StaticTarget;
use super::body::{self, Action, Body, Seen};
use crate::server::{Look, Site, Turn, executor_error, mend_name};

impl From<&Context> for Turn {
    fn from(context: &Context) -> Self {
        Self { rollout: context.rollout, epoch: context.epoch }
    }
}

impl StaticTarget {
    async fn site(&self, rendered: &Rendered, place: &Place) -> Result<Site, TargetError> {
        let executor = self.executors.at(place).await.map_err(executor_error)?;
        Site::new(executor, &rendered.deployment, Body::of(rendered)?.directory.as_deref()).await
    }

    /// What is current there, and whether it is what Dhow has here of it.
    pub(super) async fn observe_there(
        &self,
        rendered: &Rendered,
        place: &Place,
    ) -> Result<Observed, TargetError> {
        let id = &rendered.deployment;
        let look = self.site(rendered, place).await?.look().await?;
        let current = look.current();
        let here = self.copies.list(id).await.map_err(|error| self.failed(error))?;
        let mut running = Default::default();
        let mut whole = false;
        if let Some(current) = &current {
            let digest = body::digest(current)?;
            let note = self.copies.note(id, digest).await.map_err(|error| self.failed(error))?;
            running = note.unwrap_or_default().pins;
            whole = self.unchanged(rendered, current, place, &look).await?
                || self.differs(rendered, current, place, &look).await?.is_none();
        }
        let seen = Seen {
            whole,
            releases: look.releases,
            unpacked: here.into_iter().filter_map(body::hash).collect(),
            link: look.link.clone(),
            ..Seen::default()
        };
        Ok(Observed { release: current, present: look.link.is_some(), running, body: seen.value() })
    }

    /// Whether what is current there is this release, and no file was touched since it was compared.
    async fn unchanged(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
        look: &Look,
    ) -> Result<bool, TargetError> {
        if look.link.as_deref() != Some(&*format!("releases/{hash}")) {
            return Ok(false);
        }
        let found = self.copies.find(&rendered.deployment, body::digest(hash)?).await;
        let Some(release) = found.map_err(|error| self.failed(error))? else { return Ok(false) };
        let files = release.manifest.files.len();
        self.site(rendered, place).await?.unchanged(&hash.to_string(), files).await
    }

    /// Why what is current there is not this release, whole and under its own name; `None`: it is.
    async fn differs(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
        look: &Look,
    ) -> Result<Option<String>, TargetError> {
        let id = &rendered.deployment;
        if look.link.as_deref() != Some(&*format!("releases/{hash}")) {
            let current = look.link.as_deref().unwrap_or("nothing");
            return Ok(Some(format!(
                "`current` of {id} is {current}, and release {} should be",
                hash.short()
            )));
        }
        let digest = body::digest(hash)?;
        let Some(release) = self.copies.find(id, digest).await.map_err(|error| self.failed(error))? else {
            let told = format!("dhow has no copy of release {} of {id} to compare with", hash.short());
            return Ok(Some(told));
        };
        let differs = self.site(rendered, place).await?.compare(&hash.to_string(), &release.manifest).await?;
        Ok(differs.map(|differs| {
            format!("the files of release {} of {id} are not those that were sent: {differs}", hash.short())
        }))
    }

    pub(super) async fn verify_there(
        &self,
        rendered: &Rendered,
        hash: &DesiredHash,
        place: &Place,
    ) -> Result<(), TargetError> {
        let look = self.site(rendered, place).await?.look().await?;
        match self.differs(rendered, hash, place, &look).await? {
            None => Ok(()),
            Some(differs) => Err(TargetError::Failed(differs)),
        }
    }

    pub(super) async fn execute_there(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (rendered, hash) = (&context.rendered, &context.hash);
        let site = self.site(rendered, &step.place).await?;
        match Action::of(step)? {
            Action::Unpack { .. } => self.unpack(context, body::digest(hash)?).await,
            Action::Candidate => self.candidate(rendered, body::digest(hash)?).await.map(drop),
            Action::Send { .. } => self.send(&site, &hash.to_string(), &step.place, context).await,
            Action::Point { .. } => site.point(context.into(), &hash.to_string()).await,
            Action::MendThere => {
                self.unpack(context, body::digest(hash)?).await?;
                self.mend_there(&site, &step.place, context).await
            }
            Action::PruneThere { previous } => self.prune_there(&site, previous.as_deref(), context).await,
            other => Err(unfit(&other, step)),
        }
    }

    async fn send(
        &self,
        site: &Site,
        name: &str,
        place: &Place,
        context: &Context,
    ) -> Result<(), TargetError> {
        let id = &context.rendered.deployment;
        let release = self.prepared(&context.rendered, body::digest(&context.hash)?).await?;
        if let Place::Server(server) = place {
            self.spread.add(id, server).await?;
        }
        let closed = site.enter(context.into()).await?;
        if let Some(folder) = closed.last() {
            let text = format!(
                "{place}: {folder} is closed to other users; the web server there must be able to read it"
            );
            context.log.line(Stream::Err, &text);
        }
        site.send(context.into(), name, &release).await
    }

    /// A whole copy stands in while the damaged one is replaced: at no moment is a file missing that was there.
    async fn mend_there(&self, site: &Site, place: &Place, context: &Context) -> Result<(), TargetError> {
        let (own, beside) = (context.hash.to_string(), mend_name(&context.hash));
        let turn = Turn::from(context);
        if site.look().await?.link.as_deref() == Some(&*format!("releases/{own}")) {
            self.send(site, &beside, place, context).await?;
            site.point(turn, &beside).await?;
        }
        self.send(site, &own, place, context).await?;
        site.point(turn, &own).await?;
        site.retire(turn, &[beside]).await
    }

    async fn prune_there(
        &self,
        site: &Site,
        previous: Option<&str>,
        context: &Context,
    ) -> Result<(), TargetError> {
        let id = &context.rendered.deployment;
        self.stop_candidate(id, None).await;
        let mut keep: Vec<DesiredHash> = context.keep.clone();
        keep.push(context.hash);
        keep.extend(previous.and_then(|link| link.strip_prefix("releases/")?.parse::<DesiredHash>().ok()));
        let kept: Vec<String> = keep.iter().map(ToString::to_string).collect();
        let old: Vec<String> =
            site.look().await?.names.into_iter().filter(|name| !kept.contains(name)).collect();
        site.retire(context.into(), &old).await?;
        let keep = keep.iter().map(body::digest).collect::<Result<Vec<_>, _>>()?;
        self.copies.prune(id, &keep).await.map(drop).map_err(|error| self.failed(error))
    }

    pub(super) async fn undo_there(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (id, hash) = (&context.rendered.deployment, &context.hash);
        let kept = context.keep.contains(hash);
        match Action::of(step)? {
            Action::Unpack { there_before } if !there_before && !kept => {
                let discarded = self.copies.discard(id, body::digest(hash)?).await;
                discarded.map_err(|error| self.failed(error))
            }
            Action::Send { there_before } if !there_before && !kept => {
                let site = self.site(&context.rendered, &step.place).await?;
                site.retire(context.into(), &[hash.to_string()]).await
            }
            Action::Candidate => {
                self.stop_candidate(id, Some(body::digest(hash)?)).await;
                Ok(())
            }
            Action::Point { previous } => {
                let site = self.site(&context.rendered, &step.place).await?;
                site.point_back(context.into(), hash, previous.as_deref()).await
            }
            Action::Unpack { .. } | Action::Send { .. } => Ok(()),
            // A mended release has no better state to go back to, and what was pruned is gone.
            Action::MendThere | Action::PruneThere { .. } => Ok(()),
            other => Err(unfit(&other, step)),
        }
    }

    pub(super) async fn settle_there(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let (rendered, hash) = (&context.rendered, &context.hash);
        let own = format!("releases/{hash}");
        let done = match Action::of(step)? {
            Action::Unpack { .. } => {
                self.is_unpacked(&self.copies, &rendered.deployment, body::digest(hash)?).await?
            }
            Action::Send { .. } => {
                let copy = self.copies.find(&rendered.deployment, body::digest(hash)?).await;
                let Some(copy) = copy.map_err(|error| self.failed(error))? else {
                    return Ok(Settled::NotDone);
                };
                let site = self.site(rendered, &step.place).await?;
                site.compare(&hash.to_string(), &copy.manifest).await?.is_none()
            }
            Action::Point { .. } => self.site(rendered, &step.place).await?.look().await?.link == Some(own),
            Action::MendThere => match self.verify_there(rendered, hash, &step.place).await {
                Ok(()) => true,
                Err(TargetError::Failed(_)) => false,
                Err(error) => return Err(error),
            },
            _ => return Ok(Settled::Unknown),
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    pub(super) async fn bring_there(&self, context: &Context, place: &Place) -> Result<(), TargetError> {
        self.unpack(context, body::digest(&context.hash)?).await?;
        let site = self.site(&context.rendered, place).await?;
        self.send(&site, &context.hash.to_string(), place, context).await
    }

    /// The server's web server, where the deployment says where that answers.
    pub(super) async fn door_there(
        &self,
        rendered: &Rendered,
        place: &Place,
    ) -> Result<CheckAddress, TargetError> {
        let Some(front) = Body::of(rendered)?.front else {
            return Ok(CheckAddress::Nowhere(format!(
                "dhow does not know where the web server of {place} answers; say it with `front: 127.0.0.1:80` in the \
                 dhow.yaml of {}, or take the checks out that connect",
                rendered.deployment
            )));
        };
        let executor = self.executors.at(place).await.map_err(executor_error)?;
        executor.forward_tcp(front).await.map(CheckAddress::Tcp).map_err(executor_error)
    }

    pub(super) async fn releases_there(
        &self,
        id: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<ReleaseOnPlace>, TargetError> {
        let executor = self.executors.at(place).await.map_err(executor_error)?;
        let Some(site) = Site::known(executor, id).await? else { return Ok(Vec::new()) };
        let look = site.look().await?;
        let current = look.current();
        let on = |hash| ReleaseOnPlace { hash, current: current == Some(hash) };
        Ok(look.releases.into_iter().map(on).collect())
    }

    pub(super) async fn remove_there(
        &self,
        id: &DeploymentId,
        place: &Place,
        epoch: u64,
    ) -> Result<(), TargetError> {
        let executor = self.executors.at(place).await.map_err(executor_error)?;
        let site = Site::new(Arc::clone(&executor), id, None).await?;
        site.remove(Turn { rollout: 0, epoch }).await?;
        let Place::Server(server) = place else { return Ok(()) };
        if self.spread.take(id, server).await? {
            self.stop_candidate(id, None).await;
            self.copies.remove(id).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }
}

fn unfit(action: &Action, step: &Step) -> TargetError {
    TargetError::Blocked(format!(
        "the step {} ({action:?}) is not one for {}; {}",
        step.key,
        step.place,
        body::WAY_OUT
    ))
}
