//! Which version of an artifact is wanted: the best that its policy accepts, that nobody holds back.

use dhow_core::fleet::Artifact;
use dhow_core::noun::{Digest, EnvironmentName, Pin, Repository, ServiceName, Tag, Version};
use dhow_core::policy::{self, Policy, Rule};
use dhow_core::port::{SourceError, StoreError, StoreExt as _};
use dhow_core::rollout::{Event, Hold, Quarantined, TagRow, VersionRow};

use super::CurrentPin;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// How many of the best candidates are looked at before a policy is said to have nothing.
const CANDIDATES: usize = 50;

impl Inner {
    /// The best version that is neither quarantined nor held back.
    pub(super) async fn choose(
        &self,
        (service, environment): (&ServiceName, &EnvironmentName),
        artifact: &Artifact,
        rule: &Rule,
        tags: &[Tag],
        current: Option<&CurrentPin>,
    ) -> Result<Option<Version>, SourceError> {
        let repository = &artifact.repository;
        let ranked = policy::ranked(rule, tags.iter().map(Tag::as_str))
            .map_err(|e| SourceError::Invalid(e.to_string()))?;
        let hold: Option<Hold> =
            self.ports.store.load(&Hold::key_of(service, environment)).await.map_err(failed)?;
        let floor = hold.as_ref().and_then(|h| h.up_to.get(&artifact.name)).and_then(|p| p.tag.as_ref());
        for tag in ranked.into_iter().take(CANDIDATES) {
            if floor.is_some_and(|floor| !ranks_above(rule, tag, floor.as_str())) {
                return Ok(None);
            }
            let Ok(tag) = Tag::new(tag) else { continue };
            if current.is_some_and(|c| c.tag.as_ref() == Some(&tag) && !follows(rule)) {
                let stands = match current.and_then(|c| c.digest) {
                    Some(digest) => Some(digest),
                    None => self.version_of(repository, &tag, false).await?.map(|v| v.digest),
                };
                let Some(digest) = stands else { return Ok(None) };
                self.stands_for(repository, &tag, digest).await.map_err(failed)?;
                if let Err(error) = self.tag_written(repository, &tag).await {
                    tracing::debug!(%repository, %tag, %error, "whether the tag moved could not be told");
                }
                let pin = Pin { repository: repository.clone(), tag: Some(tag.clone()), digest };
                if self.is_quarantined(service, environment, &pin).await.map_err(failed)? {
                    continue;
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
        let digest = match (&known, follow) {
            (Some(row), false) => row.digest,
            _ => match self.ports.source.resolve(repository, tag).await? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let stored: Option<VersionRow> =
            self.ports.store.load(&format!("{repository}@{digest}")).await.map_err(failed)?;
        let mut entry = Entry::new();
        let version = match stored {
            Some(row) => Version { tag: Some(tag.clone()), ..row.version },
            None => {
                let version = self.ports.source.describe(repository, &digest, Some(tag)).await?;
                entry.put(&VersionRow { version: version.clone() }).map_err(failed)?;
                version
            }
        };
        // Following a tag does not change what it is for those who do not follow it.
        if known.is_none() {
            let row = TagRow { repository: repository.clone(), tag: tag.clone(), digest, moved_to: None };
            entry.create(&row).map_err(failed)?.event(Event::VersionSeen {
                repository: repository.clone(),
                tag: tag.clone(),
                digest,
            });
        }
        match self.journal.write(entry).await {
            Ok(()) => Ok(Some(version)),
            // Somebody saw it first: what they saw counts, at the next look.
            Err(StoreError::Conflict { .. }) => Err(SourceError::Unavailable {
                message: format!("{repository}:{tag} was seen twice at once"),
                retry_after: None,
            }),
            Err(error) => Err(failed(error)),
        }
    }

    /// A tag stands in the fleet for a digest: where it was never seen, that is what it was.
    async fn stands_for(&self, repository: &Repository, tag: &Tag, digest: Digest) -> Result<(), StoreError> {
        let (repository, tag) = (repository.clone(), tag.clone());
        if self.ports.store.load::<TagRow>(&format!("{repository}:{tag}")).await?.is_some() {
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.put(&TagRow { repository, tag, digest, moved_to: None })?;
        self.journal.write(entry).await
    }

    /// A tag was written again: told where it moved, and only once for each digest.
    pub(crate) async fn tag_written(&self, repository: &Repository, tag: &Tag) -> Result<(), EngineError> {
        let Some(row) = self.ports.store.load::<TagRow>(&format!("{repository}:{tag}")).await? else {
            return Ok(());
        };
        let now = match self.ports.source.resolve(repository, tag).await {
            Ok(Some(digest)) => digest,
            _ => return Ok(()),
        };
        if now == row.digest || row.moved_to == Some(now) {
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
        entry.put(&TagRow { moved_to: Some(now), ..row })?;
        Ok(self.journal.write(entry).await?)
    }

    /// Whether a digest is not to be selected here: quarantined here, or in an environment that this one comes from.
    pub(crate) async fn is_quarantined(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        pin: &Pin,
    ) -> Result<bool, StoreError> {
        let mut at = Some(environment.clone());
        let mut hops = 0;
        while let (Some(environment), true) = (at, hops < 32) {
            if self.is_quarantined_at(service, &environment, pin).await? {
                return Ok(true);
            }
            at = self.view().ok().and_then(|view| self.gates(&view, &environment).from);
            hops += 1;
        }
        Ok(false)
    }

    /// Whether a digest is quarantined in this very environment.
    pub(crate) async fn is_quarantined_at(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        pin: &Pin,
    ) -> Result<bool, StoreError> {
        let key = Quarantined::key_of(service, environment, &pin.repository, &pin.digest);
        Ok(self.ports.store.load::<Quarantined>(&key).await?.is_some())
    }
}

fn failed(error: StoreError) -> SourceError {
    SourceError::Unavailable { message: error.to_string(), retry_after: None }
}

pub(crate) fn follows(rule: &Rule) -> bool {
    matches!(rule.policy, Policy::Digest { .. })
}

/// Whether a policy prefers `tag` to `floor`. A floor that the policy does not accept holds nothing back.
pub(crate) fn ranks_above(rule: &Rule, tag: &str, floor: &str) -> bool {
    tag != floor && matches!(policy::select(rule, [tag, floor].into_iter()), Ok(Some(best)) if best == tag)
}
