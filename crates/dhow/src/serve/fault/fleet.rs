//! The fleet's repository whose writes and pushes are points.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dhow_core::fleet::Tree;
use dhow_core::port::{
    BranchName, CommitDraft, CommitId, CommitInfo, FileChange, FleetRepo, FleetRepoError, Head, PushOutcome,
    Relation,
};

use super::Faults;
use super::at::Class;
use super::broken::Broken;

/// A repository that is disturbed.
pub struct Disturbed {
    fleet: Arc<dyn FleetRepo>,
    faults: Faults,
    drafts: Mutex<BTreeMap<String, CommitDraft>>,
}

impl Disturbed {
    /// Over this repository.
    pub fn new(fleet: Arc<dyn FleetRepo>, faults: Faults) -> Self {
        Self { fleet, faults, drafts: Mutex::default() }
    }

    fn memory(&self) -> Option<PathBuf> {
        self.faults.broken(Broken::BlindPush).then(|| self.faults.beside("pushing")).flatten()
    }

    /// Notes what is about to be pushed.
    fn remember(&self, commit: &CommitId) -> Option<()> {
        let path = self.memory()?;
        let drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = drafts.get(commit.as_str())?;
        let change = |c: &FileChange| {
            (c.path.clone(), c.content.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        };
        let changes: Vec<_> = draft.changes.iter().map(change).collect();
        let text = serde_json::to_string(&(&draft.message, changes)).ok()?;
        std::fs::write(path, text).ok()
    }

    /// Repeats the push that the process before was killed in.
    async fn repeat(&self, head: Head) -> Result<Head, FleetRepoError> {
        let Some(path) = self.memory() else { return Ok(head) };
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(head) };
        drop(std::fs::remove_file(path));
        let Ok((message, changes)) = serde_json::from_str::<(String, Vec<(String, Option<String>)>)>(&text)
        else {
            return Ok(head);
        };
        let change = |(path, content): (String, Option<String>)| FileChange {
            path,
            content: content.map(String::into_bytes),
        };
        let changes = changes.into_iter().map(change).collect();
        let draft = CommitDraft { parent: head.commit.clone(), changes, message };
        let commit = self.fleet.write(draft).await?;
        self.fleet.push(&commit, &head.commit).await?;
        self.fleet.fetch().await
    }
}

#[async_trait]
impl FleetRepo for Disturbed {
    async fn fetch(&self) -> Result<Head, FleetRepoError> {
        let head = self.fleet.fetch().await?;
        if self.drafts.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return self.repeat(head).await;
        }
        Ok(head)
    }

    async fn tree(&self, commit: &CommitId) -> Result<Arc<dyn Tree>, FleetRepoError> {
        self.fleet.tree(commit).await
    }

    async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<String>, FleetRepoError> {
        self.fleet.changed(from, to).await
    }

    async fn relation(&self, older: &CommitId, newer: &CommitId) -> Result<Relation, FleetRepoError> {
        self.fleet.relation(older, newer).await
    }

    async fn log(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: usize,
    ) -> Result<Vec<CommitInfo>, FleetRepoError> {
        self.fleet.log(from, to, limit).await
    }

    async fn write(&self, draft: CommitDraft) -> Result<CommitId, FleetRepoError> {
        let subject = draft.message.lines().next().unwrap_or_default().to_owned();
        let commit = self.faults.pass(Class::Write, subject, self.fleet.write(draft.clone())).await?;
        let mut drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.insert(commit.as_str().to_owned(), draft);
        Ok(commit)
    }

    async fn push(&self, commit: &CommitId, expect: &CommitId) -> Result<PushOutcome, FleetRepoError> {
        self.remember(commit);
        let outcome = self.faults.pass(Class::Push, String::new(), self.fleet.push(commit, expect)).await;
        if outcome.is_ok() {
            self.drafts.lock().unwrap_or_else(PoisonError::into_inner).remove(commit.as_str());
        }
        outcome
    }

    async fn push_proposal(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
    ) -> Result<PushOutcome, FleetRepoError> {
        let words = format!("{branch}{}", if commit.is_none() { " away" } else { "" });
        self.faults.pass(Class::Branch, words, self.fleet.push_proposal(branch, commit)).await
    }
}
