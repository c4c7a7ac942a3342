//! What the registry tells the rest of the process.

use dhow_core::noun::{Digest, Tag};

/// A tag was written and is durable: who reads it now sees this digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagWritten {
    /// The repository's path in this registry: `shop/web`.
    pub repository: String,
    /// The tag.
    pub tag: Tag,
    /// What it names now.
    pub digest: Digest,
}

/// Hears of every tag the instant it is written, before the pusher gets its answer.
///
/// A nudge, not a record: it must not block, may be lost, and comes twice where a tag is pushed twice. Whoever listens
/// re-reads the tags from time to time; a crash between the write and the call loses the call and nothing else.
pub trait TagListener: Send + Sync {
    /// Takes the event, at once.
    fn tag_written(&self, event: TagWritten);
}

impl TagListener for tokio::sync::broadcast::Sender<TagWritten> {
    fn tag_written(&self, event: TagWritten) {
        if self.send(event).is_err() {
            tracing::trace!("a tag was written and nobody listens");
        }
    }
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl TagListener for Silent {
    fn tag_written(&self, _: TagWritten) {}
}
