use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dhow_core::noun::{Digest, Pin, Repository, SourceLabels, Tag, Version};
use dhow_core::port::{ByteStream, SourceError, VersionSource};

use crate::locked;

/// The calls of a source, to count them and to let them fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceCall {
    /// [`VersionSource::tags`].
    Tags,
    /// [`VersionSource::resolve`].
    Resolve,
    /// [`VersionSource::describe`].
    Describe,
    /// [`VersionSource::bundle`].
    Bundle,
}

/// A registry in memory.
#[derive(Default)]
pub struct MemorySource {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tags: BTreeMap<Repository, BTreeMap<Tag, Digest>>,
    content: BTreeMap<(Repository, Digest), (SourceLabels, Bytes)>,
    calls: BTreeMap<SourceCall, u64>,
    faults: BTreeMap<SourceCall, VecDeque<SourceError>>,
    down: Option<SourceError>,
    /// How long a list of tags takes to come.
    far: Duration,
}

impl MemorySource {
    /// Publishes these bytes under a tag, which may have pointed elsewhere before. The digest is that of the bytes.
    pub fn put(
        &self,
        repository: &Repository,
        tag: &Tag,
        labels: SourceLabels,
        bundle: impl Into<Bytes>,
    ) -> Digest {
        let bundle = bundle.into();
        let digest = Digest::of(&bundle);
        let mut state = locked(&self.state);
        state.content.insert((repository.clone(), digest), (labels, bundle));
        state.tags.entry(repository.clone()).or_default().insert(tag.clone(), digest);
        digest
    }

    /// Removes a tag; what it pointed at stays.
    pub fn remove_tag(&self, repository: &Repository, tag: &Tag) {
        if let Some(tags) = locked(&self.state).tags.get_mut(repository) {
            tags.remove(tag);
        }
    }

    /// Removes content; tags that point at it stay.
    pub fn remove_content(&self, repository: &Repository, digest: Digest) {
        locked(&self.state).content.remove(&(repository.clone(), digest));
    }

    /// The next call of this kind fails so; several are taken in turn.
    pub fn fail_next(&self, call: SourceCall, error: SourceError) {
        locked(&self.state).faults.entry(call).or_default().push_back(error);
    }

    /// Every call fails so, until `None`.
    pub fn set_down(&self, error: Option<SourceError>) {
        locked(&self.state).down = error;
    }

    /// Every list of tags takes so long from now on.
    pub fn set_far(&self, time: Duration) {
        locked(&self.state).far = time;
    }

    /// How often a call was made, failed ones too.
    pub fn calls(&self, call: SourceCall) -> u64 {
        locked(&self.state).calls.get(&call).copied().unwrap_or(0)
    }
}

impl State {
    fn enter(&mut self, call: SourceCall) -> Result<(), SourceError> {
        *self.calls.entry(call).or_default() += 1;
        let fault = self.faults.get_mut(&call).and_then(VecDeque::pop_front);
        fault.or_else(|| self.down.clone()).map_or(Ok(()), Err)
    }

    fn find(&self, repository: &Repository, digest: Digest) -> Result<&(SourceLabels, Bytes), SourceError> {
        let missing = || SourceError::NotFound(format!("{repository}@{digest}"));
        self.content.get(&(repository.clone(), digest)).ok_or_else(missing)
    }
}

#[async_trait]
impl VersionSource for MemorySource {
    async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, SourceError> {
        let far = locked(&self.state).far;
        if !far.is_zero() {
            tokio::time::sleep(far).await;
        }
        let mut state = locked(&self.state);
        state.enter(SourceCall::Tags)?;
        Ok(state.tags.get(repository).map(|tags| tags.keys().cloned().collect()).unwrap_or_default())
    }

    async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, SourceError> {
        let mut state = locked(&self.state);
        state.enter(SourceCall::Resolve)?;
        Ok(state.tags.get(repository).and_then(|tags| tags.get(tag)).copied())
    }

    async fn describe(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Result<Version, SourceError> {
        let mut state = locked(&self.state);
        state.enter(SourceCall::Describe)?;
        let labels = state.find(repository, *digest)?.0.clone();
        let repository = repository.clone();
        Ok(Version { repository, digest: *digest, tag: tag.cloned(), also: Vec::new(), labels })
    }

    async fn bundle(&self, pin: &Pin) -> Result<ByteStream, SourceError> {
        let mut state = locked(&self.state);
        state.enter(SourceCall::Bundle)?;
        let bytes = state.find(&pin.repository, pin.digest)?.1.clone();
        let pieces: Vec<_> = bytes.chunks(64 * 1024).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        Ok(Box::pin(futures::stream::iter(pieces)))
    }
}
