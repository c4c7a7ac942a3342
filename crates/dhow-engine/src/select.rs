//! select: which version is wanted of each artifact of a service in an environment? And what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::Environment;
use dhow_core::noun::{ArtifactName, EnvironmentName, Pin, Repository, ServiceName, Tag, Version};
use dhow_core::policy::{self, Policy, Rule};
use dhow_core::port::{SourceError, StoreExt as _};
use dhow_core::rollout::{Event, Hold, Quarantined, TagRow, UpdateRow, VersionRow, Why};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::trouble::About;
use crate::view::View;

/// Tags that were just read, so that they are not read again.
pub(crate) type Fresh<'a> = Option<(&'a Repository, &'a Arc<Vec<Tag>>)>;

/// How many of the best candidates are looked at before a policy is said to have nothing.
const CANDIDATES: usize = 50;

impl Inner {
    /// Selects for a service in an environment and makes what is wanted an update or a proposal. Repeatable: where the
    /// fleet has it already, nothing happens.
    pub(crate) async fn select(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        fresh: Fresh<'_>,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        let gates = self.gates(&view, environment).await?;
        if self.held_back(service, environment, &BTreeMap::new()).await? {
            return Ok(());
        }
        if gates.from.is_some() {
            return self.promote_if_ready(service, environment, None).await;
        }
        let Some(declared) = view.fleet.services.get(service).cloned() else { return Ok(()) };
        let mut wanted: BTreeMap<ArtifactName, Pin> = BTreeMap::new();
        for artifact in declared.artifacts.values() {
            let Some(rule) = declared.rule(environment, &artifact.name) else { continue };
            let current = current_pin(&view, service, environment, &artifact.name);
            if current.is_none() && !self.stands_somewhere(&view, service, environment, &artifact.name) {
                continue;
            }
            let tags = match fresh {
                Some((repository, tags)) if *repository == artifact.repository => Arc::clone(tags),
                _ => match self.ports.source.tags(&artifact.repository).await {
                    Ok(tags) => Arc::new(tags),
                    Err(error) => {
                        self.select_failed(service, environment, &artifact.name, &error).await?;
                        return Err(EngineError::Refused(error.to_string()));
                    }
                },
            };
            let chosen = self
                .choose(
                    service,
                    environment,
                    &artifact.repository,
                    rule,
                    &tags,
                    &artifact.name,
                    current.as_ref(),
                )
                .await;
            match chosen {
                Ok(Some(version)) => {
                    if current.as_ref().is_none_or(|c| c.digest != Some(version.digest)) {
                        wanted.insert(artifact.name.clone(), version.pin());
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.select_failed(service, environment, &artifact.name, &error).await?;
                    return Err(EngineError::Refused(error.to_string()));
                }
            }
            self.troubles.over(&About::Select(service.clone(), environment.clone(), artifact.name.clone()));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.want(service, environment, wanted, Why::Policy, None, &gates).await
    }

    /// Makes a set of versions an update, or a proposal where people must agree first.
    pub(crate) async fn want(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: BTreeMap<ArtifactName, Pin>,
        why: Why,
        by: Option<dhow_core::noun::PersonName>,
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
        let _guard = self.scopes.lock(&(service.clone(), environment.clone())).await;
        self.lift(&update).await?;
        self.ready(update).await
    }

    /// A version newer than the one that was left lifts the hold of versions (design rule 5.7).
    async fn lift(&self, update: &UpdateRow) -> Result<(), EngineError> {
        let key = Hold::key_of(&update.service, &update.environment);
        let Some(mut hold) = self.ports.store.load::<Hold>(&key).await? else { return Ok(()) };
        let before = hold.up_to.len();
        hold.up_to.retain(|artifact, _| !update.pins.contains_key(artifact));
        if hold.up_to.len() == before {
            return Ok(());
        }
        let mut entry = Entry::new();
        if hold.up_to.is_empty() && hold.hashes.is_empty() {
            entry.remove::<Hold>(key).event(Event::HoldEnded {
                service: hold.service.clone(),
                environment: hold.environment.clone(),
                reason: "a newer version was selected".into(),
                by: None,
            });
        } else {
            entry.put(&hold)?;
        }
        Ok(self.journal.write(entry).await?)
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

    /// Stores an update that is ready to be committed. The caller holds the scope's lock.
    pub(crate) async fn ready(&self, update: UpdateRow) -> Result<(), EngineError> {
        let key = UpdateRow::key_of(&update.service, &update.environment, update.why);
        let before: Option<UpdateRow> = self.ports.store.load(&key).await?;
        if before.as_ref() == Some(&update) {
            self.updates_ready.notify_one();
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.put(&update)?.event(Event::UpdateSelected {
            service: update.service.clone(),
            environment: update.environment.clone(),
            pins: update.pins.clone(),
            why: update.why,
            by: update.by.clone(),
        });
        self.journal.write(entry).await?;
        self.updates_ready.notify_one();
        Ok(())
    }

    fn stands_somewhere(
        &self,
        view: &View,
        service: &ServiceName,
        environment: &EnvironmentName,
        artifact: &ArtifactName,
    ) -> bool {
        view.deployments_of(service, environment)
            .iter()
            .any(|id| view.sites(id).iter().any(|s| s.artifact == *artifact))
    }

    /// The best version that is neither quarantined nor held back.
    #[expect(clippy::too_many_arguments, reason = "what a choice depends on, all of it")]
    async fn choose(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        repository: &Repository,
        rule: &Rule,
        tags: &[Tag],
        artifact: &ArtifactName,
        current: Option<&CurrentPin>,
    ) -> Result<Option<Version>, SourceError> {
        let ranked = policy::ranked(rule, tags.iter().map(Tag::as_str))
            .map_err(|e| SourceError::Invalid(e.to_string()))?;
        let hold: Option<Hold> =
            self.ports.store.load(&Hold::key_of(service, environment)).await.map_err(failed)?;
        let floor = hold.as_ref().and_then(|h| h.up_to.get(artifact)).and_then(|p| p.tag.as_ref());
        for tag in ranked.into_iter().take(CANDIDATES) {
            if floor.is_some_and(|floor| !ranks_above(rule, tag, floor.as_str())) {
                return Ok(None);
            }
            let Ok(tag) = Tag::new(tag) else { continue };
            if current.is_some_and(|c| c.tag.as_ref() == Some(&tag) && c.digest.is_some() && !follows(rule)) {
                let pinned = current.and_then(|c| c.digest);
                if let Err(error) = self.tag_written(repository, &tag, pinned).await {
                    tracing::debug!(%repository, %tag, %error, "whether the tag moved could not be told");
                }
                return Ok(None);
            }
            let Some(version) = self.version_of(repository, &tag, follows(rule)).await? else { continue };
            if self.is_quarantined(service, environment, &version.pin()).await.map_err(failed)? {
                if follows(rule) {
                    return Ok(None);
                }
                continue;
            }
            return Ok(Some(version));
        }
        Ok(None)
    }

    /// The version behind a tag. A tag counts as what it was when it was first seen; one that moved is told and not
    /// followed, unless the policy follows it.
    pub(crate) async fn version_of(
        &self,
        repository: &Repository,
        tag: &Tag,
        follow: bool,
    ) -> Result<Option<Version>, SourceError> {
        let key = format!("{repository}:{tag}");
        let known: Option<TagRow> = self.ports.store.load(&key).await.map_err(failed)?;
        if let (Some(row), false) = (&known, follow) {
            let version: Option<VersionRow> =
                self.ports.store.load(&format!("{repository}@{}", row.digest)).await.map_err(failed)?;
            if let Some(row) = version {
                return Ok(Some(Version { tag: Some(tag.clone()), ..row.version }));
            }
        }
        let digest = match (&known, follow) {
            (Some(row), false) => row.digest,
            _ => match self.ports.source.resolve(repository, tag).await? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let version = self.ports.source.describe(repository, &digest, Some(tag)).await?;
        let mut entry = Entry::new();
        entry.put(&VersionRow { version: version.clone() }).map_err(failed)?;
        if known.as_ref().is_none_or(|row| row.digest != digest) {
            let row = TagRow { repository: repository.clone(), tag: tag.clone(), digest, moved_to: None };
            entry.put(&row).map_err(failed)?.event(Event::VersionSeen {
                repository: repository.clone(),
                tag: tag.clone(),
                digest,
            });
        }
        self.journal.write(entry).await.map_err(failed)?;
        Ok(Some(version))
    }

    /// A tag was written again: told where it moved, and only once for each digest. A tag that was never looked up is
    /// compared with the digest that stands beside it in the fleet.
    pub(crate) async fn tag_written(
        &self,
        repository: &Repository,
        tag: &Tag,
        pinned: Option<dhow_core::noun::Digest>,
    ) -> Result<(), EngineError> {
        let known = self.ports.store.load::<TagRow>(&format!("{repository}:{tag}")).await?;
        let now = match self.ports.source.resolve(repository, tag).await {
            Ok(Some(digest)) => digest,
            _ => return Ok(()),
        };
        let row = known.clone().unwrap_or_else(|| TagRow {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: pinned.unwrap_or(now),
            moved_to: None,
        });
        if now == row.digest {
            if known.is_none() {
                let mut entry = Entry::new();
                entry.put(&row)?;
                self.journal.write(entry).await?;
            }
            return Ok(());
        }
        if row.moved_to == Some(now) {
            return Ok(());
        }
        tracing::warn!(%repository, %tag, known = %row.digest, %now, "a tag was pushed again with other content; it is not followed");
        let mut entry = Entry::new();
        entry.event(Event::TagMoved {
            repository: repository.clone(),
            tag: tag.clone(),
            known: row.digest,
            now,
        });
        let first_seen = if known.is_some() { row.digest } else { now };
        entry.put(&TagRow { digest: first_seen, moved_to: Some(now), ..row })?;
        Ok(self.journal.write(entry).await?)
    }

    /// Whether a digest is not to be selected here: quarantined here, or in an environment that this one comes from.
    pub(crate) async fn is_quarantined(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        pin: &Pin,
    ) -> Result<bool, dhow_core::port::StoreError> {
        let key = |e: &EnvironmentName| Quarantined::key_of(service, e, &pin.repository, &pin.digest);
        let fleet = self.view().ok().map(|v| Arc::clone(&v.fleet));
        let mut at = Some(environment.clone());
        let mut hops = 0;
        while let (Some(environment), true) = (at, hops < 32) {
            if self.ports.store.load::<Quarantined>(&key(&environment)).await?.is_some() {
                return Ok(true);
            }
            at = fleet.as_ref().and_then(|f| f.environments.get(&environment)).and_then(|e| e.from.clone());
            hops += 1;
        }
        Ok(false)
    }

    /// Tells that nothing can be selected, once for each reason.
    pub(crate) async fn select_failed(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        artifact: &ArtifactName,
        error: &SourceError,
    ) -> Result<(), EngineError> {
        let about = About::Select(service.clone(), environment.clone(), artifact.clone());
        if !self.troubles.note(about, &error.to_string()) {
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.event(Event::SelectFailed {
            service: service.clone(),
            environment: environment.clone(),
            artifact: artifact.clone(),
            reason: error.to_string(),
        });
        Ok(self.journal.write(entry).await?)
    }
}

fn failed(error: dhow_core::port::StoreError) -> SourceError {
    SourceError::Unavailable { message: error.to_string(), retry_after: None }
}

fn follows(rule: &Rule) -> bool {
    matches!(rule.policy, Policy::Digest { .. })
}

/// Whether a policy prefers `tag` to `floor`. A floor that the policy does not accept holds nothing back.
fn ranks_above(rule: &Rule, tag: &str, floor: &str) -> bool {
    tag != floor && matches!(policy::select(rule, [tag, floor].into_iter()), Ok(Some(best)) if best == tag)
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
