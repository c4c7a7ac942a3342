//! The branches on which proposals are shown, `dhow/<environment>/<service>`: brought to what is open, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::port::{CommitDraft, PushOutcome, Scan, StoreExt as _};
use dhow_core::rollout::{Ask, Proposal, ProposalBranch, UpdateRow};
use futures::stream::{self, StreamExt as _};

use super::Edits;
use super::message::message;
use super::propose::branch;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::Scope;

/// Branches that are pushed at a time.
const WIDTH: usize = 4;

impl Inner {
    /// Shows what is open and takes away what is not, whenever a question was opened or closed, and after a start.
    /// What fails is tried again: proposals stand without their branches.
    pub(crate) async fn branch_loop(self: Arc<Self>) {
        loop {
            let failed = match self.show_branches().await {
                Ok(()) => false,
                Err(error) => {
                    if self.view().is_ok() {
                        tracing::warn!(%error, "a proposal's branch could not be pushed; it is tried again, and can be approved all the same");
                    }
                    true
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.journal.questions() => {}
                () = self.ports.clock.sleep(self.settings.fleet_interval), if failed => {}
            }
        }
    }

    async fn show_branches(self: &Arc<Self>) -> Result<(), EngineError> {
        let scan = Scan { prefix: ProposalBranch::PREFIX.into(), ..Scan::default() };
        let rows: Vec<ProposalBranch> = self.ports.store.list(scan).await?;
        let mut rows: BTreeMap<Scope, ProposalBranch> =
            rows.into_iter().map(|row| ((row.service.clone(), row.environment.clone()), row)).collect();
        let open: Vec<Proposal> = self.ports.store.list(Scan { open_only: true, ..Scan::default() }).await?;
        let mut wanted = Vec::new();
        for proposal in open.into_iter().filter(|proposal| matches!(proposal.ask, Ask::Update { .. })) {
            let row = rows.remove(&(proposal.service.clone(), proposal.environment.clone()));
            if !row.is_some_and(|row| row.shown && row.proposal == proposal.id) {
                wanted.push(proposal);
            }
        }
        let shown = stream::iter(wanted).map(|proposal| self.show(proposal));
        let mut ended: Vec<_> = shown.buffer_unordered(WIDTH).collect().await;
        let taken = stream::iter(rows.into_values()).map(|row| self.take_away(row));
        ended.extend(taken.buffer_unordered(WIDTH).collect::<Vec<_>>().await);
        ended.into_iter().collect()
    }

    /// That there may be a branch is stored before it is pushed.
    async fn show(self: &Arc<Self>, proposal: Proposal) -> Result<(), EngineError> {
        let Proposal { service, environment, ask: Ask::Update { pins, why, by }, id, .. } = proposal else {
            return Ok(());
        };
        let Some(branch) = branch(&service, &environment) else { return Ok(()) };
        let view = self.view()?;
        let edits = Edits::set(&view, &service, &environment, &pins);
        let changes = edits.apply(view.tree.as_ref())?;
        if changes.is_empty() {
            return Ok(());
        }
        let (restore, proposal) = (BTreeMap::new(), None);
        let update = UpdateRow { service, environment, pins, restore, why, by, proposal };
        let message = message(&view, &[&update], &edits);
        let draft = CommitDraft { parent: view.commit.clone(), changes, message };
        let commit = self.ports.fleet.write(draft).await?;
        let (service, environment) = update.scope();
        let mut row = ProposalBranch { service, environment, proposal: id, shown: false };
        self.note(&row).await?;
        if let PushOutcome::Refused(reason) = self.ports.fleet.push_proposal(&branch, Some(&commit)).await? {
            tracing::warn!(%branch, reason, "the remote refuses the proposal's branch; it can be approved all the same");
        }
        row.shown = true;
        self.note(&row).await
    }

    async fn note(&self, row: &ProposalBranch) -> Result<(), EngineError> {
        let mut entry = Entry::new();
        entry.put(row)?;
        Ok(self.journal.write(entry).await?)
    }

    async fn take_away(&self, row: ProposalBranch) -> Result<(), EngineError> {
        if let Some(branch) = branch(&row.service, &row.environment)
            && let PushOutcome::Refused(reason) = self.ports.fleet.push_proposal(&branch, None).await?
        {
            tracing::warn!(%branch, reason, "the remote refuses to remove the proposal's branch");
        }
        let mut entry = Entry::new();
        entry.remove::<ProposalBranch>(dhow_core::port::Record::key(&row));
        Ok(self.journal.write(entry).await?)
    }
}
