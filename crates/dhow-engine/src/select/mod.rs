//! select: which version is wanted of each artifact of a service in an environment? And what follows from it.

mod choose;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::Environment;
use dhow_core::noun::{ArtifactName, EnvironmentName, PersonName, Pin, Repository, ServiceName, Tag};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{Event, Hold, UpdateRow, Why};

pub(crate) use choose::{follows, ranks_above};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::update::Edits;
use crate::update::promote::{Promotable, cannot_be_read};
use crate::view::View;

/// Tags that were just read, so that they are not read again.
pub(crate) type Fresh<'a> = Option<(&'a Repository, &'a Arc<Vec<Tag>>)>;

impl Inner {
    /// Selects for a service in an environment and makes what is wanted an update or a proposal. Repeatable: where the
    /// fleet has it already, nothing happens. What `from` binds comes from upstream, the rest from the policies.
    pub(crate) async fn select(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        fresh: Fresh<'_>,
        by: Option<PersonName>,
    ) -> Result<bool, EngineError> {
        let view = self.view()?;
        // What the last process saw may be old: its commits would be selected again.
        let is_old = by.is_none() && !self.followed.load(std::sync::atomic::Ordering::SeqCst);
        if view.fleet.broken_root || is_old {
            return Ok(false);
        }
        let gates = self.gates(&view, environment);
        self.withdraw(service, environment).await?;
        let rollback = UpdateRow::key_of(service, environment, Why::Rollback);
        if self.held_back(service, environment, &BTreeMap::new()).await?
            || self.ports.store.load::<UpdateRow>(&rollback).await?.is_some()
        {
            return Ok(false);
        }
        let mut wanted = BTreeMap::new();
        let mut why = Why::Policy;
        let mut bound = BTreeSet::new();
        if let Some(from) = &gates.from {
            if cannot_be_read(&view, service, from) {
                return Ok(false);
            }
            bound = view.artifacts_of(service, from);
            for id in view.deployments_of(service, from) {
                bound.extend(self.row(&id).await?.desired_pins.into_keys());
            }
            if let Promotable::Set(pins) =
                self.promotable(&view, service, from, environment, gates.soak).await?
            {
                wanted = pins;
                why = Why::Promotion;
            }
        }
        self.by_policy(&view, service, environment, fresh, &bound, &mut wanted).await?;
        if Edits::set(&view, service, environment, &wanted).is_empty() {
            return Ok(true);
        }
        self.want(service, environment, wanted, why, by, &gates).await?;
        Ok(false)
    }

    /// Adds what the policies of a service select where it is not what stands in the fleet.
    async fn by_policy(
        self: &Arc<Self>,
        view: &View,
        service: &ServiceName,
        environment: &EnvironmentName,
        fresh: Fresh<'_>,
        bound: &BTreeSet<ArtifactName>,
        wanted: &mut BTreeMap<ArtifactName, Pin>,
    ) -> Result<(), EngineError> {
        let Some(declared) = view.fleet.services.get(service) else { return Ok(()) };
        let standing = view.artifacts_of(service, environment);
        let scope = (service, environment);
        for artifact in declared.artifacts.values() {
            let Some(rule) = declared.rule(environment, &artifact.name) else { continue };
            if bound.contains(&artifact.name) || !standing.contains(&artifact.name) {
                continue;
            }
            let current = current_pin(view, service, environment, &artifact.name);
            let tags = match fresh {
                Some((repository, tags)) if *repository == artifact.repository => Ok(Arc::clone(tags)),
                _ => self.ports.source.tags(&artifact.repository).await.map(Arc::new),
            };
            let chosen = match tags {
                Ok(tags) => self.choose(scope, artifact, rule, &tags, current.as_ref()).await,
                Err(error) => Err(error),
            };
            match chosen {
                Ok(version) => {
                    self.trouble(service, environment, &artifact.name, None).await;
                    let new = version.filter(|v| current.as_ref().is_none_or(|c| c.digest != Some(v.digest)));
                    wanted.extend(new.map(|v| (artifact.name.clone(), v.pin())));
                }
                Err(error) => {
                    self.trouble(service, environment, &artifact.name, Some(&error)).await;
                    return Err(EngineError::Refused(error.to_string()));
                }
            }
        }
        Ok(())
    }

    /// Makes a set of versions an update, or a proposal where people must agree first.
    async fn want(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: BTreeMap<ArtifactName, Pin>,
        why: Why,
        by: Option<PersonName>,
        gates: &Environment,
    ) -> Result<(), EngineError> {
        if gates.effective_approvals().is_some() {
            return self.propose_update(service, environment, pins, why, by).await;
        }
        let update = UpdateRow {
            service: service.clone(),
            environment: environment.clone(),
            pins,
            restore: BTreeMap::new(),
            why,
            by,
            proposal: None,
        };
        let _held = self.scopes.lock(&(service.clone(), environment.clone())).await;
        if !self.is_still_wanted(service, environment, &update.pins).await? {
            return Ok(());
        }
        let key = UpdateRow::key_of(service, environment, why);
        let before: Option<UpdateRow> = self.ports.store.load(&key).await?;
        if before.as_ref() != Some(&update) {
            let mut entry = Entry::new();
            update_selected(&mut entry, &update)?;
            self.journal.write(entry).await?;
        }
        self.updates_ready.notify_one();
        Ok(())
    }

    /// Whether nothing came between the selection and the lock: the very same may have been committed meanwhile, or taken
    /// back or put into quarantine, and is then no news.
    pub(crate) async fn is_still_wanted(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<bool, EngineError> {
        if Edits::set(&*self.view()?, service, environment, pins).is_empty()
            || self.held_back(service, environment, pins).await?
        {
            return Ok(false);
        }
        let rollback = UpdateRow::key_of(service, environment, Why::Rollback);
        if self.ports.store.load::<UpdateRow>(&rollback).await?.is_some() {
            return Ok(false);
        }
        for pin in pins.values() {
            if self.is_quarantined(service, environment, pin).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Selects soon for a service in an environment: what decides there may have changed.
    pub(crate) fn select_soon(self: &Arc<Self>, service: &ServiceName, environment: &EnvironmentName) {
        let Ok(view) = self.view() else { return };
        if self.gates(&view, environment).from.is_none() {
            view.repositories(service, environment).for_each(|r| self.nudge(r));
            return;
        }
        let (inner, service, environment) = (Arc::clone(self), service.clone(), environment.clone());
        self.tracker.spawn(async move {
            if let Err(error) = inner.select(&service, &environment, None, None).await {
                tracing::warn!(%service, %environment, %error, "nothing was selected");
            }
        });
    }

    /// Selects soon in an environment and in those promoted from it.
    pub(crate) fn select_downstream(self: &Arc<Self>, service: &ServiceName, environment: &EnvironmentName) {
        self.select_soon(service, environment);
        self.downstream(environment).iter().for_each(|e| self.select_soon(service, e));
    }

    /// Whether versions are held back in a service and environment: files must change first, or nothing is newer than
    /// what was left.
    pub(crate) async fn held_back(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<bool, EngineError> {
        let Some(hold) = self.ports.store.load::<Hold>(&Hold::key_of(service, environment)).await? else {
            return Ok(false);
        };
        let view = self.view()?;
        let declared = view.fleet.services.get(service);
        Ok(hold.files
            || hold.up_to.iter().any(|(artifact, left)| {
                let Some(pin) = pins.get(artifact) else { return false };
                let rule = declared.and_then(|s| s.rule(environment, artifact));
                match (rule, &pin.tag, &left.tag) {
                    _ if pin.digest == left.digest => true,
                    (Some(rule), Some(tag), Some(left)) => !ranks_above(rule, tag.as_str(), left.as_str()),
                    _ => false,
                }
            }))
    }
}

/// Adds an update, and the fact that it is wanted.
pub(crate) fn update_selected(
    entry: &mut Entry,
    update: &UpdateRow,
) -> Result<(), dhow_core::port::StoreError> {
    entry.put(update)?.event(Event::UpdateSelected {
        service: update.service.clone(),
        environment: update.environment.clone(),
        pins: update.pins.clone(),
        why: update.why,
        by: update.by.clone(),
    });
    Ok(())
}

/// What stands in the fleet for an artifact.
pub(crate) struct CurrentPin {
    pub tag: Option<Tag>,
    pub digest: Option<dhow_core::noun::Digest>,
}

/// What stands in the fleet's head for an artifact of a service in an environment; where deployments differ, none is
/// taken to be right and the answer is nothing.
pub(crate) fn current_pin(
    view: &View,
    service: &ServiceName,
    environment: &EnvironmentName,
    artifact: &ArtifactName,
) -> Option<CurrentPin> {
    let mut found: Option<CurrentPin> = None;
    for id in view.deployments_of(service, environment) {
        for site in view.sites(&id).iter().filter(|s| s.artifact == *artifact) {
            let here = CurrentPin { tag: site.site.tag.clone(), digest: site.site.digest };
            match &found {
                Some(before) if before.tag != here.tag || before.digest != here.digest => return None,
                _ => found = Some(here),
            }
        }
    }
    found.filter(|c| c.tag.is_some() || c.digest.is_some())
}
