use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fleet::Tree;

/// A commit: 40 or 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// Text that is no commit id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no commit id; expected 40 or 64 hexadecimal digits")]
pub struct InvalidCommitId(String);

impl CommitId {
    /// Checks a commit id.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidCommitId> {
        let text = text.into();
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text))
        } else {
            Err(InvalidCommitId(text.chars().take(80).collect()))
        }
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CommitId {
    type Err = InvalidCommitId;
    fn from_str(text: &str) -> Result<Self, InvalidCommitId> {
        Self::new(text)
    }
}

impl TryFrom<String> for CommitId {
    type Error = InvalidCommitId;
    fn try_from(text: String) -> Result<Self, InvalidCommitId> {
        Self::new(text)
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> String {
        id.0
    }
}

/// A branch name that git accepts (git-check-ref-format), without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    /// Checks a branch name.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let bad = text.is_empty()
            || text.len() > 200
            || text.starts_with(['-', '/', '.'])
            || text.ends_with(['/', '.'])
            || text.ends_with(".lock")
            || text.contains("..")
            || text.contains("//")
            || text.contains("/.")
            || text.contains("@{")
            || text == "@"
            || text.contains(|c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
        if bad { Err(format!("{text:?} is no branch name that git accepts")) } else { Ok(Self(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BranchName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> String {
        name.0
    }
}

/// The head of the fleet's branch as the remote has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: CommitId,
    /// The branch.
    pub branch: BranchName,
}

/// How one commit stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are one.
    Same,
    /// The first is an ancestor of the second.
    Ahead,
    /// It is not: the branch was force-pushed or has diverged.
    Diverged,
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// The commit.
    pub id: CommitId,
    /// Author's name.
    pub author_name: String,
    /// Author's e-mail.
    pub author_email: String,
    /// The whole message, trailers included.
    pub message: String,
    /// Its parents, the first one first.
    pub parents: Vec<CommitId>,
    /// Paths that differ from its first parent, relative to the fleet's root.
    pub paths: Vec<String>,
}

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Path, relative to the fleet's root.
    pub path: String,
    /// The new bytes; `None` removes the file. The mode stays.
    pub content: Option<Vec<u8>>,
}

/// A commit to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDraft {
    /// Its parent.
    pub parent: CommitId,
    /// What it changes against the parent.
    pub changes: Vec<FileChange>,
    /// Its message with trailers.
    pub message: String,
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The remote's branch is at the commit (it may have been before).
    Pushed,
    /// The remote's branch is not at the expected commit any more: fetch and compute again.
    Moved,
    /// The remote refuses for a reason of its own (a hook, a protected branch): its words.
    Refused(String),
}

/// A branch for people.
fn branch_in_words(branch: &str) -> String {
    if branch == "HEAD" { "its default branch".into() } else { format!("the branch {branch:?}") }
}

/// What goes wrong with the fleet's repository.
#[derive(Debug, Clone, Error)]
pub enum FleetRepoError {
    /// The remote cannot be reached or does not let us in; trying again may help.
    #[error("the fleet {remote} cannot be reached: {reason}")]
    Unreachable {
        /// The remote, without credentials.
        remote: String,
        /// Git's own words, cut.
        reason: String,
    },
    /// The branch has no commit, or there is no such branch.
    #[error("the fleet {remote} has no commit on {}; push a first one", branch_in_words(branch))]
    NoCommits {
        /// The remote, without credentials.
        remote: String,
        /// The branch that was asked for, or `HEAD`.
        branch: String,
    },
    /// An object that should be there is not, or an object cannot be read.
    #[error(
        "the mirror of the fleet is damaged: {0}; stop dhow, remove the folder and start again: it is fetched anew"
    )]
    Damaged(String),
    /// The disk of the mirror is full or cannot be written; it goes on by itself when that is over.
    #[error("the mirror of the fleet cannot be written: {0}; it goes on by itself when that is over")]
    Disk(String),
    /// The way it was asked for cannot work.
    #[error("{0}")]
    Refused(String),
}

/// The fleet: read it, write commits, push them.
///
/// *Guarantees*: no branch is ever force-pushed except by [`FleetRepo::push_proposal`], on `dhow/...` branches only.
/// Reading never needs the network. *Crash*: objects that were written and not pushed are garbage and do no harm; after
/// a push that was cut, [`FleetRepo::fetch`] shows whether it arrived.
#[async_trait]
pub trait FleetRepo: Send + Sync {
    /// Asks the remote for the branch's head and brings its objects. Repeatable at any time.
    async fn fetch(&self) -> Result<Head, FleetRepoError>;

    /// The files at a commit that was fetched or written.
    async fn tree(&self, commit: &CommitId) -> Result<Arc<dyn Tree>, FleetRepoError>;

    /// Paths of files that differ between two commits, relative to the fleet's root, sorted. The cost grows with the
    /// difference.
    async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<String>, FleetRepoError>;

    /// How `older` stands to `newer`. An `older` that is not known is diverged.
    async fn relation(&self, older: &CommitId, newer: &CommitId) -> Result<Relation, FleetRepoError>;

    /// The commits that `to` has and `from` has not, newest first, at most `limit`; without `from`, the newest of `to`.
    async fn log(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: usize,
    ) -> Result<Vec<CommitInfo>, FleetRepoError>;

    /// Writes a commit's objects into the mirror and signs it where git is configured to sign. Nothing is pushed.
    async fn write(&self, draft: CommitDraft) -> Result<CommitId, FleetRepoError>;

    /// Pushes a commit to the fleet's branch, unforced, expecting the remote to be at its parent.
    async fn push(&self, commit: &CommitId, expect: &CommitId) -> Result<PushOutcome, FleetRepoError>;

    /// Points the branch of a proposal (`dhow/<environment>/<service>`) at a commit, wherever it was; `None` removes it.
    async fn push_proposal(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
    ) -> Result<PushOutcome, FleetRepoError>;
}
