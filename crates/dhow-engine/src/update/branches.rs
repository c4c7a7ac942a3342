//! The branches on which proposals are shown, `dhow/<environment>/<service>`: brought to what is open, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::port::{CommitDraft, PushOutcome, Record, Scan, StoreExt as _};
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
        let mut late = self.perhaps_on_their_way().await;
        loop {
            let failed = match self.show_branches(&mut late).await {
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
                () = self.ports.clock.sleep(self.settings.fleet_interval), if failed || !late.is_empty() => {
                    self.take_away_late(&mut late).await;
                }
            }
        }
    }

    /// Branches that the process before this one may just have been pushing: that may arrive after what is done here.
    async fn perhaps_on_their_way(&self) -> Vec<ProposalBranch> {
        let scan = Scan { prefix: ProposalBranch::PREFIX.into(), ..Scan::default() };
        let rows: Vec<ProposalBranch> = self.ports.store.list(scan).await.unwrap_or_default();
        rows.into_iter().filter(|row| !row.shown).collect()
    }

    /// Takes away once more what arrived late, or could not be taken away, where nothing is to be shown there.
    async fn take_away_late(&self, late: &mut Vec<ProposalBranch>) {
        for row in std::mem::take(late) {
            match self.ports.store.load::<ProposalBranch>(&Record::key(&row)).await {
                Ok(None) => {}
                Ok(Some(_)) => continue,
                Err(_) => {
                    late.push(row);
                    continue;
                }
            }
            let Some(branch) = branch(&row.service, &row.environment) else { continue };
            match self.ports.fleet.push_proposal(&branch, None).await {
                Ok(PushOutcome::Refused(reason)) => {
                    tracing::warn!(%branch, reason, "the remote refuses to remove the proposal's branch");
                }
                Ok(_) => {}
                Err(_) => late.push(row),
            }
        }
    }

    async fn show_branches(self: &Arc<Self>, late: &mut Vec<ProposalBranch>) -> Result<(), EngineError> {
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
        for taken in taken.buffer_unordered(WIDTH).collect::<Vec<_>>().await {
            ended.push(taken.map(|refused| late.extend(refused)));
        }
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

    /// The answer: the row, where the remote refused.
    async fn take_away(&self, row: ProposalBranch) -> Result<Option<ProposalBranch>, EngineError> {
        let refused = match branch(&row.service, &row.environment) {
            Some(branch) => {
                matches!(self.ports.fleet.push_proposal(&branch, None).await?, PushOutcome::Refused(_))
            }
            None => false,
        };
        let mut entry = Entry::new();
        entry.remove::<ProposalBranch>(Record::key(&row));
        self.journal.write(entry).await?;
        Ok(refused.then_some(row))
    }
}
