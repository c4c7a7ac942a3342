//! Gates: what a rollout or an update waits for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::noun::PersonName;

/// How Dhow's own updates enter an environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMode {
    /// A commit on the fleet's branch.
    #[default]
    Commit,
    /// A pull request.
    PullRequest,
    /// A proposal that becomes a commit when it is approved.
    Approval,
}

/// Who must agree, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// How many votes are needed; at least 1.
    pub needed: u32,
    /// Who may vote; empty: everyone with the role approver.
    pub from: BTreeSet<PersonName>,
    /// Whether an author's vote counts.
    pub author_may_approve: bool,
}

impl Approvals {
    /// One vote, by any approver who is no author: what `update: approval` without `approvals` needs.
    pub fn any_one() -> Self {
        Self { needed: 1, from: BTreeSet::new(), author_may_approve: false }
    }

    /// The votes that count: voters may vote and are no authors, unless authors may approve.
    pub fn counted<'a>(
        &self,
        votes: impl IntoIterator<Item = &'a PersonName>,
        authors: &BTreeSet<PersonName>,
    ) -> BTreeSet<&'a PersonName> {
        votes
            .into_iter()
            .filter(|person| self.from.is_empty() || self.from.contains(*person))
            .filter(|person| self.author_may_approve || !authors.contains(*person))
            .collect()
    }

    /// Whether enough votes count.
    pub fn satisfied<'a>(
        &self,
        votes: impl IntoIterator<Item = &'a PersonName>,
        authors: &BTreeSet<PersonName>,
    ) -> bool {
        self.counted(votes, authors).len() >= self.needed.max(1) as usize
    }

    /// Whether these ask for less than `before` in any respect: such a change needs a decision under the gates in
    /// force (design rule 5.1).
    pub fn loosens(&self, before: &Self) -> bool {
        let more_voters = match (self.from.is_empty(), before.from.is_empty()) {
            (true, true) | (false, true) => false,
            (true, false) => true,
            (false, false) => !self.from.is_subset(&before.from),
        };
        self.needed < before.needed || more_voters || (self.author_may_approve && !before.author_may_approve)
    }
}

/// When a change may enter an environment: weekdays and times of day in a zone. The end is exclusive; a window may
/// span midnight. Read and checked; nothing is held by it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// As written, `Mon-Fri 08:00-17:00`.
    pub open: String,
    /// IANA time zone; default UTC.
    pub zone: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(names: &[&str]) -> BTreeSet<PersonName> {
        names.iter().map(|n| PersonName::new(*n).unwrap()).collect()
    }

    #[test]
    fn an_authors_vote_is_not_counted() {
        let gate = Approvals { needed: 1, from: people(&["alice", "bob"]), author_may_approve: false };
        assert!(!gate.satisfied(&people(&["alice"]), &people(&["alice"])));
        assert!(gate.satisfied(&people(&["alice", "bob"]), &people(&["alice"])));
    }

    #[test]
    fn a_vote_by_someone_not_named_is_not_counted() {
        let gate = Approvals { needed: 1, from: people(&["alice"]), author_may_approve: false };
        assert!(!gate.satisfied(&people(&["mallory"]), &people(&[])));
    }

    #[test]
    fn fewer_votes_more_voters_and_author_votes_are_looser() {
        let gate = Approvals { needed: 2, from: people(&["alice", "bob"]), author_may_approve: false };
        let less = Approvals { needed: 1, ..gate.clone() };
        let wider = Approvals { from: people(&["alice", "bob", "carol"]), ..gate.clone() };
        let anyone = Approvals { from: people(&[]), ..gate.clone() };
        let author = Approvals { author_may_approve: true, ..gate.clone() };
        let stricter = Approvals { needed: 2, from: people(&["alice"]), author_may_approve: false };
        for looser in [less, wider, anyone, author] {
            assert!(looser.loosens(&gate), "{looser:?}");
        }
        assert!(!stricter.loosens(&gate));
        assert!(!gate.loosens(&gate));
    }
}
