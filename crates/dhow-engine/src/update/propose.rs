//! Proposals: people are asked before an update is committed, or before what a person committed is rolled out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, PersonName, Pin, ServiceName};
use dhow_core::port::{BranchName, CommitDraft, CommitId, Scan, StoreExt as _};
use dhow_core::rollout::{Ask, Event, Hold, HoldReason, Proposal, ProposalStatus, UpdateRow, Why};

use super::edits::Edits;
use super::message::message;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::report::ProposalStatusView;
use crate::view::View;

impl Inner {
    /// Asks people whether these versions may enter an environment. Asking twice for the same is asking once; a newer
    /// set takes the place of an older one until that has its first approval (design rule 5.5).
    pub(crate) async fn propose_update(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: BTreeMap<ArtifactName, Pin>,
        why: Why,
        by: Option<PersonName>,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        let edits = Edits::set(&view, service, environment, &pins);
        if edits.is_empty() {
            return Ok(());
        }
        let changes = edits.apply(view.tree.as_ref())?;
        let hashes = self.would_be(&view, &changes, service, environment).await?;
        let _guard = self.scopes.lock(&(service.clone(), environment.clone())).await;
        if by.is_none() && self.was_rejected(service, environment, &hashes).await? {
            return Ok(());
        }
        let update = UpdateRow {
            service: service.clone(),
            environment: environment.clone(),
            pins: pins.clone(),
            restore: BTreeMap::new(),
            why,
            by: by.clone(),
            proposal: None,
        };
        if self.ports.store.load::<UpdateRow>(&UpdateRow::key_of(service, environment, why)).await?.is_some()
        {
            return Ok(());
        }
        // What others committed and never ran would run with it: theirs is no vote on it either.
        let mut authors: BTreeSet<PersonName> = by.iter().cloned().collect();
        for id in hashes.keys() {
            authors.extend(self.authors_of(id).await?);
        }
        let summary = summary(&view, service, environment, &pins);
        let draft = CommitDraft { parent: view.commit.clone(), changes, message: message(&view, &[&update]) };
        let ask = Ask::Update { pins, why, by: by.clone() };
        let Some(proposal) = self.ask(service, environment, ask, hashes, authors, summary).await? else {
            return Ok(());
        };
        self.show_on_branch(proposal, draft).await
    }

    async fn was_rejected(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        hashes: &BTreeMap<DeploymentId, DesiredHash>,
    ) -> Result<bool, EngineError> {
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        Ok(hold.is_some_and(|h| {
            h.reason == HoldReason::Rejected
                && !hashes.is_empty()
                && hashes.values().all(|hash| h.hashes.contains(hash))
        }))
    }

    /// Puts the proposed commit on the branch `dhow/<environment>/<service>`, for people to look at. The proposal
    /// stands without it.
    async fn show_on_branch(&self, mut proposal: Proposal, draft: CommitDraft) -> Result<(), EngineError> {
        let Some(branch) = branch(&proposal.service, &proposal.environment) else { return Ok(()) };
        let commit = self.ports.fleet.write(draft).await?;
        match self.ports.fleet.push_proposal(&branch, Some(&commit)).await {
            Ok(_) => {
                proposal.commit = Some(commit);
                let mut entry = Entry::new();
                entry.put(&proposal)?;
                self.journal.write(entry).await?;
            }
            Err(error) => {
                tracing::warn!(%branch, %error, "the proposal's branch could not be pushed; it can be approved all the same")
            }
        }
        Ok(())
    }

    /// Asks people whether what a person committed may run. The caller holds the scope's lock.
    pub(crate) async fn propose_rollout(
        &self,
        id: &DeploymentId,
        hash: &DesiredHash,
        commit: &CommitId,
        authors: BTreeSet<PersonName>,
    ) -> Result<(), EngineError> {
        let open = self.open_proposals(&id.service, &id.environment).await?;
        let mut hashes = BTreeMap::from([(id.clone(), *hash)]);
        let mut all_authors = authors;
        for other in open.iter().filter(|p| matches!(p.ask, Ask::Rollout { .. })) {
            for (deployment, hash) in &other.hashes {
                hashes.entry(deployment.clone()).or_insert_with(|| *hash);
            }
            all_authors.extend(other.authors.iter().cloned());
        }
        let summary = hashes
            .iter()
            .map(|(id, hash)| format!("{id}: release {} from commit {}", hash.short(), commit.short()))
            .collect();
        let ask = Ask::Rollout { commit: commit.clone() };
        self.ask(&id.service, &id.environment, ask, hashes, all_authors, summary).await?;
        Ok(())
    }

    /// Stores a question, unless it is asked already. `None`: it is, or an older one with approvals stands.
    pub(crate) async fn ask(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        ask: Ask,
        hashes: BTreeMap<DeploymentId, DesiredHash>,
        authors: BTreeSet<PersonName>,
        summary: Vec<String>,
    ) -> Result<Option<Proposal>, EngineError> {
        let mut entry = Entry::new();
        for mut other in self.open_proposals(service, environment).await? {
            if std::mem::discriminant(&other.ask) != std::mem::discriminant(&ask) {
                continue;
            }
            if other.hashes == hashes {
                return Ok(None);
            }
            let (status, outcome) = match (&ask, other.votes.iter().any(|v| v.approve)) {
                (Ask::Update { .. }, true) if self.still_stands(&other).await? => return Ok(None),
                (Ask::Update { .. }, false) => (ProposalStatus::Withdrawn, "a newer one took its place"),
                _ => (ProposalStatus::Void, "what it named has changed"),
            };
            other.status = status;
            entry.event(closed(&other, outcome)).put(&other)?;
        }
        let proposal = Proposal {
            id: uuid::Uuid::now_v7().simple().to_string(),
            service: service.clone(),
            environment: environment.clone(),
            ask,
            hashes,
            authors,
            votes: Vec::new(),
            status: ProposalStatus::Open,
            summary,
            commit: None,
            opened_ms: self.now_ms(),
        };
        entry.put(&proposal)?.event(Event::ProposalOpened {
            id: proposal.id.clone(),
            service: service.clone(),
            environment: environment.clone(),
            what: proposal.summary.join("; "),
        });
        self.journal.write(entry).await?;
        Ok(Some(proposal))
    }

    /// Whether what an update's proposal names can still be had: none of it was quarantined since.
    pub(crate) async fn still_stands(&self, proposal: &Proposal) -> Result<bool, EngineError> {
        if let Ask::Update { pins, .. } = &proposal.ask {
            for pin in pins.values() {
                if self.is_quarantined(&proposal.service, &proposal.environment, pin).await? {
                    return Ok(false);
                }
            }
            let Ok(view) = self.view() else { return Ok(true) };
            return Ok(proposal.hashes.keys().all(|id| view.fleet.deployments.contains_key(id)));
        }
        Ok(true)
    }

    /// Closes every question about a service whose versions cannot be had any more. The caller holds no scope's lock.
    pub(crate) async fn withdraw_fallen(&self, service: &ServiceName) -> Result<(), EngineError> {
        let scan = Scan { prefix: format!("{service}/"), open_only: true, ..Scan::default() };
        for found in self.ports.store.list::<Proposal>(scan).await? {
            let _guard = self.scopes.lock(&(service.clone(), found.environment.clone())).await;
            let now = self.open_proposals(service, &found.environment).await?;
            let Some(mut question) = now.into_iter().find(|q| q.id == found.id) else { continue };
            if self.still_stands(&question).await? {
                continue;
            }
            question.status = ProposalStatus::Withdrawn;
            let mut entry = Entry::new();
            entry.event(closed(&question, "what it proposed is quarantined or gone")).put(&question)?;
            self.journal.write(entry).await?;
            self.tidy_branch(&question).await;
        }
        Ok(())
    }

    /// The open questions about a service in an environment.
    pub(crate) async fn open_proposals(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Proposal>, EngineError> {
        let scan = Scan { prefix: format!("{service}/{environment}/"), open_only: true, ..Scan::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    /// A question as people see it.
    pub(crate) async fn proposal_view(&self, proposal: Proposal) -> Result<ProposalStatusView, EngineError> {
        let view = self.view()?;
        let gates = self.gates(&view, &proposal.environment).await?;
        let approvals = gates.effective_approvals().unwrap_or_else(dhow_core::fleet::Approvals::any_one);
        let yes: Vec<&PersonName> = proposal.votes.iter().filter(|v| v.approve).map(|v| &v.person).collect();
        let counted =
            approvals.counted(yes, &proposal.authors).into_iter().map(ToString::to_string).collect();
        Ok(ProposalStatusView {
            id: proposal.id,
            service: proposal.service,
            environment: proposal.environment,
            summary: proposal.summary,
            needed: approvals.needed,
            counted,
            authors: proposal.authors.iter().map(ToString::to_string).collect(),
        })
    }
}

/// The fact that a question is closed.
pub(crate) fn closed(proposal: &Proposal, outcome: &str) -> Event {
    Event::ProposalClosed {
        id: proposal.id.clone(),
        service: proposal.service.clone(),
        environment: proposal.environment.clone(),
        outcome: outcome.to_owned(),
    }
}

/// The branch of a proposal.
pub(crate) fn branch(service: &ServiceName, environment: &EnvironmentName) -> Option<BranchName> {
    BranchName::new(format!("dhow/{environment}/{service}")).ok()
}

fn summary(
    view: &View,
    service: &ServiceName,
    environment: &EnvironmentName,
    pins: &BTreeMap<ArtifactName, Pin>,
) -> Vec<String> {
    pins.iter()
        .map(|(artifact, pin)| {
            let now = crate::select::current_pin(view, service, environment, artifact);
            let before = now.map_or_else(
                || "nothing".to_owned(),
                |c| match (c.tag, c.digest) {
                    (Some(tag), _) => tag.to_string(),
                    (None, Some(digest)) => digest.short(),
                    (None, None) => "nothing".into(),
                },
            );
            let after = pin.tag.as_ref().map_or_else(|| pin.digest.short(), ToString::to_string);
            format!("{artifact}: {before} -> {after} ({})", pin.digest.short())
        })
        .collect()
}
