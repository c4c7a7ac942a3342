use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dhow_core::fleet::{MemoryTree, Tree};
use dhow_core::noun::Digest;
use dhow_core::port::{
    BranchName, CommitDraft, CommitId, CommitInfo, FileChange, FleetRepo, FleetRepoError, Head, PushOutcome,
    Relation,
};

use crate::locked;

/// How a push goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushFault {
    /// The remote says that its branch has moved.
    Moved,
    /// The remote refuses, in these words.
    Refused(String),
    /// The remote is not reached; nothing arrives.
    Unreachable,
    /// The push arrives, and the answer is lost.
    ArrivesUnanswered,
    /// This author pushes these changes just before.
    Overtaken(Vec<FileChange>, String),
}

/// A fleet in memory: a remote with branches, and the mirror that has fetched some of it.
pub struct MemoryFleetRepo {
    main: BranchName,
    state: Mutex<State>,
}

#[derive(Clone)]
struct Commit {
    /// How many came before it.
    number: usize,
    tree: Arc<MemoryTree>,
    info: CommitInfo,
}

#[derive(Default)]
struct State {
    commits: BTreeMap<CommitId, Commit>,
    remote: BTreeMap<BranchName, CommitId>,
    /// Commits that were fetched or written.
    mirror: BTreeSet<CommitId>,
    faults: VecDeque<PushFault>,
    unreachable: bool,
    refuses: Option<String>,
}

impl MemoryFleetRepo {
    /// A fleet without a commit, whose branch has this name.
    pub fn new(main: BranchName) -> Self {
        Self { main, state: Mutex::default() }
    }

    /// Somebody else commits on the fleet's branch and pushes.
    pub fn person_commits(&self, changes: Vec<FileChange>, author: &str) -> CommitId {
        self.commit_by(&mut locked(&self.state), &changes, author)
    }

    fn commit_by(&self, state: &mut State, changes: &[FileChange], author: &str) -> CommitId {
        let parent = state.remote.get(&self.main).cloned();
        let id = state.add(parent, changes, "a person's change", author);
        state.remote.insert(self.main.clone(), id.clone());
        id
    }

    /// Somebody merges a branch, made of one commit after `base`, into the fleet's branch and pushes. The merge makes these
    /// changes to what the fleet's branch had.
    pub fn person_merges(
        &self,
        base: &CommitId,
        branch: &[FileChange],
        merged: &[FileChange],
        author: &str,
    ) -> CommitId {
        let mut state = locked(&self.state);
        let other = state.add(Some(base.clone()), branch, "a person's branch", author);
        let id = self.commit_by(&mut state, merged, author);
        if let Some(commit) = state.commits.get_mut(&id) {
            commit.info.parents.push(other);
        }
        id
    }

    /// Somebody points the fleet's branch at another history of these files.
    pub fn force_push(&self, files: Vec<FileChange>, author: &str) -> CommitId {
        let mut state = locked(&self.state);
        let id = state.add(None, &files, "another history", author);
        state.remote.insert(self.main.clone(), id.clone());
        id
    }

    /// The next push goes wrong so; several are taken in turn.
    pub fn fail_next_push(&self, fault: PushFault) {
        locked(&self.state).faults.push_back(fault);
    }

    /// Whether the remote can be reached at all.
    pub fn set_reachable(&self, reachable: bool) {
        locked(&self.state).unreachable = !reachable;
    }

    /// The remote refuses every push in these words; without, it takes them again. Others push as before.
    pub fn refuse_pushes(&self, words: Option<&str>) {
        locked(&self.state).refuses = words.map(ToOwned::to_owned);
    }

    /// A push that nobody waits for any more arrives.
    pub fn arrives(&self, branch: &BranchName, commit: &CommitId) {
        locked(&self.state).remote.insert(branch.clone(), commit.clone());
    }

    /// Where a branch of the remote stands.
    pub fn remote(&self, branch: &BranchName) -> Option<CommitId> {
        locked(&self.state).remote.get(branch).cloned()
    }

    /// A file at the head of a branch of the remote.
    pub fn remote_file(&self, branch: &BranchName, path: &str) -> Option<Vec<u8>> {
        let state = locked(&self.state);
        state.commits.get(state.remote.get(branch)?)?.tree.files.get(path).cloned()
    }

    fn unreachable(&self) -> FleetRepoError {
        FleetRepoError::Unreachable { remote: "memory".into(), reason: "told to fail".into() }
    }

    /// Takes the next fault; `Ok(true)`: the answer is to be lost after the effect.
    fn fault(&self, state: &mut State) -> Result<bool, Result<PushOutcome, FleetRepoError>> {
        if state.unreachable {
            return Err(Err(self.unreachable()));
        }
        if let Some(words) = &state.refuses {
            return Err(Ok(PushOutcome::Refused(words.clone())));
        }
        match state.faults.pop_front() {
            None => Ok(false),
            Some(PushFault::ArrivesUnanswered) => Ok(true),
            Some(PushFault::Moved) => Err(Ok(PushOutcome::Moved)),
            Some(PushFault::Refused(words)) => Err(Ok(PushOutcome::Refused(words))),
            Some(PushFault::Unreachable) => Err(Err(self.unreachable())),
            Some(PushFault::Overtaken(changes, author)) => {
                self.commit_by(state, &changes, &author);
                Ok(false)
            }
        }
    }
}

impl State {
    fn add(
        &mut self,
        parent: Option<CommitId>,
        changes: &[FileChange],
        message: &str,
        author: &str,
    ) -> CommitId {
        let before = parent.as_ref().and_then(|p| self.commits.get(p));
        let mut tree = before.map(|c| (*c.tree).clone()).unwrap_or_default();
        for change in changes {
            match &change.content {
                Some(content) => tree.files.insert(change.path.clone(), content.clone()),
                None => tree.files.remove(&change.path),
            };
        }
        let paths = differences(&before.map(|c| (*c.tree).clone()).unwrap_or_default(), &tree);
        let seed = format!("{} {parent:?} {message} {tree:?}", self.commits.len());
        let digits = Digest::of(seed.as_bytes()).hex();
        let id = CommitId::new(&digits[..40]).expect("hexadecimal digits are a commit id");
        let number = self.commits.len();
        let info = CommitInfo {
            id: id.clone(),
            parents: parent.into_iter().collect(),
            author_name: author.into(),
            author_email: format!("{author}@example.org"),
            message: message.into(),
            paths,
        };
        self.commits.insert(id.clone(), Commit { number, tree: Arc::new(tree), info });
        id
    }

    /// The commit and its ancestors, newest first.
    fn history(&self, from: &CommitId) -> Vec<CommitId> {
        let (mut found, mut open) = (BTreeMap::new(), vec![from.clone()]);
        while let Some(id) = open.pop() {
            let Some(commit) = self.commits.get(&id) else { continue };
            if found.insert(commit.number, id).is_none() {
                open.extend(commit.info.parents.iter().cloned());
            }
        }
        found.into_values().rev().collect()
    }

    fn known(&self, id: &CommitId) -> Result<&Commit, FleetRepoError> {
        let known = self.mirror.contains(id).then(|| self.commits.get(id)).flatten();
        known.ok_or_else(|| FleetRepoError::Damaged(format!("commit {id} is not in the mirror")))
    }
}

fn differences(from: &MemoryTree, to: &MemoryTree) -> Vec<String> {
    let paths: BTreeSet<&String> = from.files.keys().chain(to.files.keys()).collect();
    paths.into_iter().filter(|p| from.files.get(*p) != to.files.get(*p)).cloned().collect()
}

#[async_trait]
impl FleetRepo for MemoryFleetRepo {
    async fn fetch(&self) -> Result<Head, FleetRepoError> {
        let mut state = locked(&self.state);
        if state.unreachable {
            return Err(self.unreachable());
        }
        let Some(commit) = state.remote.get(&self.main).cloned() else {
            let (remote, branch) = ("memory".into(), self.main.to_string());
            return Err(FleetRepoError::NoCommits { remote, branch });
        };
        let history = state.history(&commit);
        state.mirror.extend(history);
        Ok(Head { commit, branch: self.main.clone() })
    }

    async fn tree(&self, commit: &CommitId) -> Result<Arc<dyn Tree>, FleetRepoError> {
        Ok(Arc::<MemoryTree>::clone(&locked(&self.state).known(commit)?.tree))
    }

    async fn changed(&self, from: &CommitId, to: &CommitId) -> Result<Vec<String>, FleetRepoError> {
        let state = locked(&self.state);
        Ok(differences(&state.known(from)?.tree, &state.known(to)?.tree))
    }

    async fn relation(&self, older: &CommitId, newer: &CommitId) -> Result<Relation, FleetRepoError> {
        let state = locked(&self.state);
        state.known(newer)?;
        Ok(match older == newer {
            true => Relation::Same,
            false if state.history(newer).contains(older) => Relation::Ahead,
            false => Relation::Diverged,
        })
    }

    async fn log(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: usize,
    ) -> Result<Vec<CommitInfo>, FleetRepoError> {
        let state = locked(&self.state);
        state.known(to)?;
        let had: BTreeSet<CommitId> =
            from.map(|f| state.history(f)).unwrap_or_default().into_iter().collect();
        let new = state.history(to).into_iter().filter(|id| !had.contains(id)).take(limit);
        Ok(new.filter_map(|id| state.commits.get(&id).map(|c| c.info.clone())).collect())
    }

    async fn write(&self, draft: CommitDraft) -> Result<CommitId, FleetRepoError> {
        let mut state = locked(&self.state);
        state.known(&draft.parent)?;
        let id = state.add(Some(draft.parent), &draft.changes, &draft.message, "dhow");
        state.mirror.insert(id.clone());
        Ok(id)
    }

    async fn push(&self, commit: &CommitId, expect: &CommitId) -> Result<PushOutcome, FleetRepoError> {
        let mut state = locked(&self.state);
        state.known(commit)?;
        let unanswered = match self.fault(&mut state) {
            Ok(unanswered) => unanswered,
            Err(outcome) => return outcome,
        };
        let remote = state.remote.get(&self.main).cloned();
        let outcome = if remote.as_ref() == Some(commit) {
            PushOutcome::Pushed
        } else if remote.as_ref() == Some(expect) && state.history(commit).contains(expect) {
            state.remote.insert(self.main.clone(), commit.clone());
            PushOutcome::Pushed
        } else {
            PushOutcome::Moved
        };
        if unanswered { Err(self.unreachable()) } else { Ok(outcome) }
    }

    async fn push_proposal(
        &self,
        branch: &BranchName,
        commit: Option<&CommitId>,
    ) -> Result<PushOutcome, FleetRepoError> {
        if !branch.as_str().starts_with("dhow/") {
            return Err(FleetRepoError::Refused(format!("{branch} is no branch of a proposal")));
        }
        let mut state = locked(&self.state);
        let unanswered = match self.fault(&mut state) {
            Ok(unanswered) => unanswered,
            Err(outcome) => return outcome,
        };
        match commit {
            Some(commit) => state.remote.insert(branch.clone(), commit.clone()),
            None => state.remote.remove(branch),
        };
        if unanswered { Err(self.unreachable()) } else { Ok(PushOutcome::Pushed) }
    }
}
