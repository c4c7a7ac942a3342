//! Updates on their way into the fleet.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::noun::{ArtifactName, Digest, EnvironmentName, PersonName, Pin, ServiceName};
use crate::port::{CommitId, Record, Table};
use crate::rollout::Why;

/// A rollback's edit: scalars that still hold a failed version get `back`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The version that failed or is left.
    pub failed: Pin,
    /// The version of the last healthy release.
    pub back: Pin,
    /// Versions that failed before, where the edit away from them was not made yet: the fleet may hold any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Pin>,
    /// Those of them that a person left, and the fleet's head then: where people wrote one after it, it stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<Digest, CommitId>,
}

impl Restore {
    /// From one version to another.
    pub fn new(failed: Pin, back: Pin) -> Self {
        Self { failed, back, earlier: Vec::new(), since: BTreeMap::new() }
    }

    /// From any of these versions to another; `None` where none of them is another. Two tags of one digest are two: a
    /// place may hold nothing but the tag.
    pub fn of_all(left: impl IntoIterator<Item = Pin>, back: Pin) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let is_another = |pin: &Pin| pin.digest != back.digest;
        let mut left =
            left.into_iter().filter(is_another).filter(|pin| seen.insert((pin.tag.clone(), pin.digest)));
        let failed = left.next()?;
        let earlier = left.collect();
        Some(Self { failed, back, earlier, since: BTreeMap::new() })
    }

    /// A failure takes up an edit that waits: what is to go with that goes too. What failed goes whoever wrote it.
    #[must_use]
    pub fn after(self, waiting: &Self) -> Self {
        let left = self.left().chain(waiting.left()).cloned();
        let Some(mut all) = Self::of_all(left, self.back.clone()) else { return self };
        all.since = waiting.since_but_for(&self);
        all.since.extend(self.since_but_for(waiting));
        all
    }

    /// What another one takes away goes as well, to where this one goes.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        let left = self.left().chain(other.left()).cloned();
        let Some(mut all) = Self::of_all(left, self.back.clone()) else { return self };
        all.since = other.since_but_for(&self);
        all.since.extend(self.since);
        all
    }

    /// Since when people may have written what it leaves, but for what another one leaves as well.
    fn since_but_for(&self, other: &Self) -> BTreeMap<Digest, CommitId> {
        let mut since = self.since.clone();
        other.left().for_each(|pin| drop(since.remove(&pin.digest)));
        since
    }

    /// A person leaves all of them, at this head of the fleet.
    #[must_use]
    pub fn asked_at(self, head: &CommitId) -> Self {
        let since = self.left().map(|pin| (pin.digest, head.clone())).collect();
        Self { since, ..self }
    }

    /// The versions that are to go.
    pub fn left(&self) -> impl Iterator<Item = &Pin> {
        std::iter::once(&self.failed).chain(&self.earlier)
    }
}

/// An update that is ready to be committed. Key: `service/environment`, for rollbacks `service/environment/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRow {
    /// Of which service.
    pub service: ServiceName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// The versions that are wanted; all artifacts that change.
    pub pins: BTreeMap<ArtifactName, Pin>,
    /// For rollbacks: only what still holds a failed version is changed.
    pub restore: BTreeMap<ArtifactName, Restore>,
    /// Why.
    pub why: Why,
    /// Who asked, where a person did.
    pub by: Option<PersonName>,
    /// The approved proposal that it comes from.
    pub proposal: Option<String>,
}

impl UpdateRow {
    /// The service and the environment that it is about.
    pub fn scope(&self) -> (ServiceName, EnvironmentName) {
        (self.service.clone(), self.environment.clone())
    }

    /// The key of the update of a service in an environment.
    pub fn key_of(service: &ServiceName, environment: &EnvironmentName, why: Why) -> String {
        match why {
            Why::Rollback => format!("{service}/{environment}/rollback"),
            _ => format!("{service}/{environment}"),
        }
    }
}

impl Record for UpdateRow {
    const TABLE: Table = Table::Updates;
    fn key(&self) -> String {
        Self::key_of(&self.service, &self.environment, self.why)
    }
    fn open(&self) -> bool {
        true
    }
}

/// A commit that may or may not have reached the remote. Key: `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAttempt {
    /// The commit.
    pub commit: CommitId,
    /// Its parent.
    pub parent: CommitId,
    /// Keys of the updates in it, with their revisions.
    pub updates: BTreeMap<String, u64>,
    /// It is known to be on the branch: one of our own commits.
    pub done: bool,
}

impl CommitAttempt {
    /// Its key.
    pub fn key_of(commit: &CommitId) -> String {
        format!("commit/{commit}")
    }
}

impl Record for CommitAttempt {
    const TABLE: Table = Table::Cursors;
    fn key(&self) -> String {
        Self::key_of(&self.commit)
    }
    fn open(&self) -> bool {
        !self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(tag: &str, bytes: &str) -> Pin {
        Pin {
            repository: "r.test/shop/web".parse().unwrap(),
            tag: Some(tag.parse().unwrap()),
            digest: Digest::of(bytes.as_bytes()),
        }
    }

    #[test]
    fn what_goes_is_told_apart_by_its_tag_too_as_a_place_may_hold_nothing_else() {
        let (one, other) = (pin("1.1.0", "a"), pin("1.1", "a"));
        let restore = Restore::of_all([one.clone(), other.clone(), one.clone()], pin("1.0.0", "b")).unwrap();
        assert_eq!(restore.left().collect::<Vec<_>>(), [&one, &other]);
        let later = Restore::new(pin("1.2.0", "c"), pin("1.0.0", "b")).after(&restore);
        assert_eq!(later.left().collect::<Vec<_>>(), [&pin("1.2.0", "c"), &one, &other]);
    }

    #[test]
    fn what_a_person_left_is_known_beside_a_failure_and_what_failed_goes_whoever_wrote_it() {
        let head = CommitId::new("a".repeat(40)).unwrap();
        let left = [pin("1.1.0", "a"), pin("1.2.0", "c")];
        let asked = Restore::of_all(left, pin("1.0.0", "b")).unwrap().asked_at(&head);
        let both = Restore::new(pin("1.2.0", "c"), pin("1.0.0", "b")).after(&asked);
        assert_eq!(both.since.keys().collect::<Vec<_>>(), [&pin("1.1.0", "a").digest]);
    }

    #[test]
    fn what_people_may_keep_of_one_way_back_they_may_keep_of_both_but_for_what_the_other_takes_away() {
        let head = CommitId::new("a".repeat(40)).unwrap();
        let late = Restore::of_all([pin("1.1.0", "a"), pin("1.2.0", "c")], pin("1.0.0", "b")).unwrap();
        let late = late.asked_at(&head);
        let failed = Restore::new(pin("1.2.0", "c"), pin("0.9.0", "z"));
        for (both, back) in [(failed.clone().with(&late), "0.9.0"), (late.after(&failed), "1.0.0")] {
            assert_eq!(both.left().count(), 2);
            assert_eq!(both.since.keys().collect::<Vec<_>>(), [&pin("1.1.0", "a").digest]);
            assert_eq!(both.back.tag.unwrap().as_str(), back);
        }
    }

    #[test]
    fn what_is_gone_back_to_never_goes_whatever_its_tag() {
        assert_eq!(Restore::of_all([pin("1.1.0", "a"), pin("1.1", "a")], pin("latest", "a")), None);
        let waiting = Restore::new(pin("1.0.0", "b"), pin("0.9.0", "z"));
        let restore = Restore::new(pin("1.1.0", "a"), pin("1.0", "b")).after(&waiting);
        assert_eq!(restore.left().collect::<Vec<_>>(), [&pin("1.1.0", "a")]);
    }
}
