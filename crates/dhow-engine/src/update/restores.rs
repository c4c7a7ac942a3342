//! Edits back on their way into the fleet: what failed, or was left, gives way to what ran before.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use dhow_core::fleet::{self, VersionSite};
use dhow_core::noun::{ArtifactName, DeploymentId, PersonName, Pin};
use dhow_core::port::{CommitId, CommitInfo, Relation, StoreExt as _};
use dhow_core::rollout::{Restore, UpdateRow, Why};

use super::edits::{Edits, places_left};

use crate::command::Actor;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::sync::COMMITS;
use crate::view::{Scope, View};

/// What a person leaves of an artifact, in any deployment, and what everything of it goes back to.
pub(crate) type Leaving = BTreeMap<ArtifactName, (Vec<Pin>, Pin)>;

impl Inner {
    /// Adds what a failure takes back to an entry, together with what waits already: the answer is all of it.
    pub(crate) async fn stage_restores(
        &self,
        scope: &Scope,
        restores: BTreeMap<ArtifactName, Restore>,
        entry: &mut Entry,
    ) -> Result<UpdateRow, EngineError> {
        let mut update = self.waiting_way_back(scope).await?;
        for (artifact, restore) in restores {
            let restore = match update.restore.remove(&artifact) {
                Some(waiting) => restore.after(&waiting),
                None => restore,
            };
            update.restore.insert(artifact, restore);
        }
        stage(&update, entry)?;
        Ok(update)
    }

    /// Adds what a person goes back to. It takes the place of an edit that waits, also of one that may just be on its way
    /// to the remote: all that the fleet holds then gives way.
    pub(crate) async fn stage_return(
        &self,
        scope: &Scope,
        (actor, head): (&Actor, &CommitId),
        leaving: Leaving,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let mut update = self.waiting_way_back(scope).await?;
        update.by = Some(actor.person.clone());
        for (artifact, (mut left, back)) in leaving {
            if let Some(waiting) = update.restore.remove(&artifact) {
                left.extend(waiting.left().cloned());
                left.push(waiting.back);
            }
            if let Some(restore) = Restore::of_all(left, back) {
                update.restore.insert(artifact, restore.asked_at(head));
            }
        }
        stage(&update, entry)
    }

    /// The edits of an update. Those of a rollback touch only what still holds a version that is to go, and nothing that
    /// people wrote since it was asked for.
    pub(crate) async fn edits(&self, view: &View, update: &UpdateRow) -> Result<Edits, EngineError> {
        let mut edits = Edits::set(view, &update.service, &update.environment, &update.pins);
        for id in view.deployments_of(&update.service, &update.environment) {
            for (site, left, restore) in places_left(view, &id, update) {
                let stays = match restore.since.get(&left.digest) {
                    Some(since) => self.written_by_people(since, view, &id, site).await? == Some(true),
                    None => false,
                };
                if !stays {
                    edits.add(&id, site, &restore.back);
                }
            }
        }
        Ok(edits)
    }

    /// A way back that a person asked for and that is about to change what the fleet says of a deployment: of which
    /// artifacts, and who asked.
    pub(crate) async fn about_to_go_back(
        &self,
        view: &View,
        id: &DeploymentId,
    ) -> Result<Option<(PersonName, BTreeSet<ArtifactName>)>, EngineError> {
        let key = UpdateRow::key_of(&id.service, &id.environment, Why::Rollback);
        let Some(update) = self.ports.store.load::<UpdateRow>(&key).await? else { return Ok(None) };
        let mut artifacts = BTreeSet::new();
        for (site, left, restore) in places_left(view, id, &update) {
            let Some(since) = restore.since.get(&left.digest) else { continue };
            if self.written_by_people(since, view, id, site).await? != Some(true) {
                artifacts.insert(site.artifact.clone());
            }
        }
        Ok(update.by.filter(|_| !artifacts.is_empty()).map(|by| (by, artifacts)))
    }

    /// Whether it can be told of each place that an edit back changes who wrote what stands there.
    pub(crate) async fn can_be_told(&self, view: &View, update: &UpdateRow) -> Result<bool, EngineError> {
        for id in view.deployments_of(&update.service, &update.environment) {
            for (site, left, restore) in places_left(view, &id, update) {
                let Some(since) = restore.since.get(&left.digest) else { continue };
                if self.written_by_people(since, view, &id, site).await?.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Whether people brought a version to where it stands, since a commit: whoever did it last counts. `None`: where the
    /// branch was force-pushed, or has moved too far, nobody can tell.
    async fn written_by_people(
        &self,
        since: &CommitId,
        view: &View,
        id: &DeploymentId,
        version: &VersionSite,
    ) -> Result<Option<bool>, EngineError> {
        let repo = &self.ports.fleet;
        if *since == view.commit {
            return Ok(Some(false));
        }
        if repo.relation(since, &view.commit).await? != Relation::Ahead {
            return Ok(None);
        }
        let file = &version.site.file;
        let commits = repo.log(Some(since), &view.commit, COMMITS).await?;
        if commits.len() == COMMITS {
            return Ok(None);
        }
        let commits: BTreeMap<CommitId, CommitInfo> =
            commits.into_iter().map(|commit| (commit.id.clone(), commit)).collect();
        // From the head to the commit that brought it: one that none of its parents has it from.
        let mut at = &view.commit;
        while let Some(commit) = commits.get(at) {
            let mut from = commit.parents.first().filter(|_| !commit.paths.contains(file));
            let mut parents = commit.parents.iter();
            while let (None, Some(parent)) = (from, parents.next()) {
                from = self.stood(parent, view, id, version).await?.then_some(parent);
            }
            match from {
                Some(parent) => at = parent,
                None => return Ok(Some(!self.is_own(at).await?)),
            }
        }
        Ok(Some(false))
    }

    /// Whether a deployment had a version at a commit.
    async fn stood(
        &self,
        commit: &CommitId,
        view: &View,
        id: &DeploymentId,
        version: &VersionSite,
    ) -> Result<bool, EngineError> {
        let tree = self.ports.fleet.tree(commit).await?;
        let then = fleet::reload(&view.fleet, tree.as_ref(), slice::from_ref(&version.site.file));
        let same = |known: &VersionSite| {
            known.artifact == version.artifact
                && (&known.site.tag, known.site.digest) == (&version.site.tag, version.site.digest)
        };
        Ok(then.deployments.get(id).is_some_and(|deployment| deployment.sites.iter().any(same)))
    }

    /// The edit back that waits; one that changes nothing where none does.
    pub(crate) async fn waiting_way_back(
        &self,
        (service, environment): &Scope,
    ) -> Result<UpdateRow, EngineError> {
        let key = UpdateRow::key_of(service, environment, Why::Rollback);
        let known: Option<UpdateRow> = self.ports.store.load(&key).await?;
        Ok(known.unwrap_or_else(|| UpdateRow {
            service: service.clone(),
            environment: environment.clone(),
            pins: BTreeMap::new(),
            restore: BTreeMap::new(),
            why: Why::Rollback,
            by: None,
            proposal: None,
        }))
    }
}

fn stage(update: &UpdateRow, entry: &mut Entry) -> Result<(), EngineError> {
    if !update.restore.is_empty() {
        entry.put(update)?;
    }
    Ok(())
}
