use std::path::PathBuf;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, Digest};
use dhow_core::port::{Context, Place, Rendered, Settled, Step, TargetError};

use super::StaticTarget;
use super::body::{self, Action, Body, WAY_OUT};
use super::content::content;
use super::error::blocked_by_disk;
use crate::candidate::Candidate;
use crate::releases::{Note, Release, Releases};
use crate::web::{HostTaken, LiveRelease};

impl StaticTarget {
    pub(super) async fn execute_here(&self, step: &Step, context: &Context) -> Result<(), TargetError> {
        let (id, hash) = (&context.rendered.deployment, body::digest(&context.hash)?);
        match Action::of(step)? {
            Action::Unpack { .. } => self.unpack(context, hash).await,
            Action::Candidate => self.candidate(&context.rendered, hash).await.map(drop),
            Action::Switch { .. } => self.switch(context, hash).await,
            Action::Prune { previous } => self.prune(context, hash, previous).await,
            Action::Mend => self.mend(context, hash).await,
            Action::Hosts { .. } => {
                let hosts = Body::of(&context.rendered)?.hosts;
                self.sites.set_hosts(id, &hosts).map_err(host_taken)?;
                self.note(context, hash, hosts).await
            }
            other => Err(TargetError::Blocked(format!(
                "the step {} ({other:?}) is not one for this machine; {WAY_OUT}",
                step.key
            ))),
        }
    }

    /// Where the releases of a deployment lie here: those for servers lie apart, because they are not served here.
    pub(super) fn of(&self, rendered: &Rendered) -> &Releases {
        let elsewhere = rendered.places.iter().any(|place| matches!(place, Place::Server(_)));
        if elsewhere { &self.copies } else { &self.releases }
    }

    pub(super) async fn settle_here(&self, step: &Step, context: &Context) -> Result<Settled, TargetError> {
        let (id, hash) = (&context.rendered.deployment, body::digest(&context.hash)?);
        let done = match Action::of(step)? {
            Action::Unpack { .. } => self.is_unpacked(&self.releases, id, hash).await?,
            Action::Switch { .. } => self.is_live(id, hash).await?,
            Action::Mend => {
                self.is_unpacked(&self.releases, id, hash).await? && self.is_live(id, hash).await?
            }
            // One that was stopped by a later step was there; starting it again is harmless.
            Action::Candidate if !self.is_candidate(id, hash).await => return Ok(Settled::Unknown),
            Action::Candidate => true,
            _ => return Ok(Settled::Unknown),
        };
        Ok(if done { Settled::Done } else { Settled::NotDone })
    }

    pub(super) async fn is_unpacked(
        &self,
        store: &Releases,
        id: &DeploymentId,
        hash: Digest,
    ) -> Result<bool, TargetError> {
        let release = store.whole(id, hash).await.map_err(|error| self.failed(error))?;
        let note = store.note(id, hash).await.map_err(|error| self.failed(error))?;
        Ok(release.is_some() && note.is_some())
    }

    async fn is_live(&self, id: &DeploymentId, hash: Digest) -> Result<bool, TargetError> {
        let current = self.releases.current(id).await.map_err(|error| self.failed(error))?;
        Ok(current == Some(hash) && self.sites.live(id).is_some_and(|live| live.hash() == hash))
    }

    async fn is_candidate(&self, id: &DeploymentId, hash: Digest) -> bool {
        self.candidates.lock().await.get(id).is_some_and(|(of, _)| *of == hash)
    }

    /// A release that is there and whole needs neither fleet nor registry. For several servers it is unpacked once.
    pub(super) async fn unpack(&self, context: &Context, hash: Digest) -> Result<(), TargetError> {
        let (id, body) = (&context.rendered.deployment, Body::of(&context.rendered)?);
        let store = self.of(&context.rendered);
        let turn = {
            let mut unpacking = self.unpacking.lock().await;
            unpacking.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(unpacking.entry(id.clone()).or_default())
        };
        let _one = turn.lock().await;
        if store.whole(id, hash).await.map_err(|error| self.failed(error))?.is_none() {
            let content = content(&body, context).await?;
            let prepared = store.prepare(id, hash, content, body.options).await;
            prepared.map_err(|error| self.failed(error))?;
        }
        self.note(context, hash, body.hosts).await
    }

    pub(super) async fn note(
        &self,
        context: &Context,
        hash: Digest,
        hosts: Vec<String>,
    ) -> Result<(), TargetError> {
        let pins = context.rendered.pins.values().map(|pin| pin.digest).collect();
        let noted = self
            .of(&context.rendered)
            .set_note(&context.rendered.deployment, hash, Note { pins, hosts })
            .await;
        noted.map_err(|error| self.failed(error))
    }

    /// The release on disk, which an earlier step brought there.
    pub(super) async fn prepared(&self, rendered: &Rendered, hash: Digest) -> Result<Release, TargetError> {
        let id = &rendered.deployment;
        let found = self.of(rendered).find(id, hash).await.map_err(|error| self.failed(error))?;
        found.ok_or_else(|| {
            TargetError::Blocked(format!(
                "release {} of {id} is not on disk any more, somebody removed it; `dhow rollback {} {}` brings back the one \
                 before",
                hash.short(),
                id.service,
                id.environment
            ))
        })
    }

    /// The socket of the running candidate. Starts it where it does not run, after a restart too.
    pub(super) async fn candidate(&self, rendered: &Rendered, hash: Digest) -> Result<PathBuf, TargetError> {
        let id = &rendered.deployment;
        let mut candidates = self.candidates.lock().await;
        if let Some((of, running)) = candidates.get(id)
            && *of == hash
        {
            return Ok(running.path().to_owned());
        }
        let release = self.prepared(rendered, hash).await?;
        let live = LiveRelease::new(&release, &self.resources);
        let dir = &self.candidates_dir;
        let started = Candidate::start(live, dir)
            .await
            .map_err(|error| blocked_by_disk("serve the release for checks in", dir, &error, dir))?;
        let path = started.path().to_owned();
        candidates.insert(id.clone(), (hash, started));
        Ok(path)
    }

    /// Stops the candidate, of this release or of any. Waits for no request that it still answers.
    pub(super) async fn stop_candidate(&self, id: &DeploymentId, of: Option<Digest>) {
        let mut candidates = self.candidates.lock().await;
        if candidates.get(id).is_some_and(|(hash, _)| of.is_none_or(|of| of == *hash)) {
            candidates.remove(id);
        }
    }

    /// First the hosts, because they may be refused; then the disk, which is the truth; then the web server.
    async fn switch(&self, context: &Context, hash: Digest) -> Result<(), TargetError> {
        let (id, body) = (&context.rendered.deployment, Body::of(&context.rendered)?);
        let release = self.prepared(&context.rendered, hash).await?;
        self.sites.set_hosts(id, &body.hosts).map_err(host_taken)?;
        if let Err(error) = self.releases.switch(id, hash).await {
            // The hosts go back to what the disk says; the failed switch is the answer all the same.
            let _ = self.follow_disk(id).await;
            return Err(self.failed(error));
        }
        self.go_live(release)
    }

    pub(super) fn go_live(&self, release: Release) -> Result<(), TargetError> {
        if self.sites.live(&release.deployment).is_some_and(|live| live.hash() == release.hash) {
            return Ok(());
        }
        let live: Arc<LiveRelease> = LiveRelease::new(&release, &self.resources);
        self.sites.set_live(live).map(drop).map_err(host_taken)
    }

    /// Replaces what is damaged in one step. What the web server held of the damaged files is let go.
    async fn mend(&self, context: &Context, hash: Digest) -> Result<(), TargetError> {
        self.unpack(context, hash).await?;
        let (id, release) = (&context.rendered.deployment, self.prepared(&context.rendered, hash).await?);
        self.sites.set_hosts(id, &Body::of(&context.rendered)?.hosts).map_err(host_taken)?;
        self.releases.switch(id, hash).await.map_err(|error| self.failed(error))?;
        self.sites.set_live(LiveRelease::new(&release, &self.resources)).map(drop).map_err(host_taken)
    }

    async fn prune(
        &self,
        context: &Context,
        hash: Digest,
        previous: Option<DesiredHash>,
    ) -> Result<(), TargetError> {
        let id = &context.rendered.deployment;
        self.stop_candidate(id, None).await;
        let mut keep = vec![hash];
        for kept in context.keep.iter().chain(&previous) {
            keep.push(body::digest(kept)?);
        }
        self.releases.prune(id, &keep).await.map(drop).map_err(|error| self.failed(error))
    }
}

/// The files of the fleet are to blame: two deployments want one host.
pub(super) fn host_taken(error: HostTaken) -> TargetError {
    TargetError::Failed(error.to_string())
}
