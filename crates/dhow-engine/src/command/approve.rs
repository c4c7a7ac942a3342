//! approve, reject.

use dhow_core::noun::{EnvironmentName, ServiceName};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{
    ApprovedHash, Ask, Event, Hold, HoldReason, Proposal, ProposalStatus, Rollout, Transition, UpdateRow,
    Vote,
};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;
use crate::update::propose::{branch, closed};

impl Engine {
    /// Says yes to what is asked about a service in an environment; `id` picks one question of several.
    ///
    /// Errors: `NotFound` where nothing is asked; `Refused` where this person's word would not count.
    pub async fn approve(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        id: Option<&str>,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let view = inner.view()?;
        let gates = inner.gates(&view, environment).await?;
        let needs = gates.effective_approvals().unwrap_or_else(dhow_core::fleet::Approvals::any_one);
        let guard = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut proposal = inner.question(service, environment, id).await?;
        if !inner.still_stands(&proposal).await? {
            let gone = "what it proposes is quarantined, or is not in the fleet any more";
            proposal.status = ProposalStatus::Withdrawn;
            let mut entry = Entry::new();
            entry.event(closed(&proposal, gone)).put(&proposal)?;
            inner.journal.write(entry).await?;
            drop(guard);
            inner.tidy_branch(&proposal).await;
            return Err(EngineError::Refused(format!("{gone}: it was withdrawn")));
        }
        if needs.counted([&actor.person], &proposal.authors).is_empty() {
            return Err(EngineError::Refused(if proposal.authors.contains(&actor.person) {
                format!(
                    "{} is an author of this change: an author's vote is not counted in {environment}",
                    actor.person
                )
            } else {
                format!("{} is not among those who approve in {environment}", actor.person)
            }));
        }
        proposal.votes.retain(|v| v.person != actor.person);
        proposal.votes.push(Vote { person: actor.person.clone(), approve: true, at_ms: inner.now_ms() });
        let mut entry = Entry::new();
        entry.event(voted(&proposal, actor, true));
        let yes: Vec<_> = proposal.votes.iter().filter(|v| v.approve).map(|v| &v.person).collect();
        let counted: Vec<_> = needs.counted(yes, &proposal.authors).into_iter().cloned().collect();
        if counted.len() < needs.needed.max(1) as usize {
            entry.put(&proposal)?;
            inner.journal.write(entry).await?;
            return Ok(Outcome::new(format!(
                "{} of {} approvals; it waits for the others",
                counted.len(),
                needs.needed
            )));
        }
        proposal.status = ProposalStatus::Approved;
        for (deployment, hash) in &proposal.hashes {
            entry.put(&ApprovedHash {
                deployment: deployment.clone(),
                hash: *hash,
                proposal: proposal.id.clone(),
                by: counted.clone(),
            })?;
        }
        entry.event(closed(&proposal, "approved")).put(&proposal)?;
        inner.journal.write(entry).await?;
        let message = match &proposal.ask {
            Ask::Update { pins, why, by } => {
                let update = UpdateRow {
                    service: service.clone(),
                    environment: environment.clone(),
                    pins: pins.clone(),
                    restore: Default::default(),
                    why: *why,
                    by: by.clone(),
                    proposal: Some(proposal.id.clone()),
                };
                inner.ready(update).await?;
                "approved: it is committed and rolled out now"
            }
            Ask::Rollout { .. } => {
                proposal.hashes.keys().for_each(|id| inner.kick(id));
                "approved: it is rolled out now"
            }
            Ask::Removal => {
                for id in proposal.hashes.keys() {
                    let row = inner.row(id).await?;
                    inner.remove_now(row).await?;
                }
                "approved: it is removed"
            }
        };
        drop(guard);
        inner.tidy_branch(&proposal).await;
        Ok(Outcome::new(message))
    }

    /// Says no. What was asked about is held until it changes or is resumed.
    pub async fn reject(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        reason: Option<&str>,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let _guard = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut proposal = inner.question(service, environment, None).await?;
        proposal.votes.push(Vote { person: actor.person.clone(), approve: false, at_ms: inner.now_ms() });
        proposal.status = ProposalStatus::Rejected;
        let why = reason.map_or_else(
            || format!("rejected by {}", actor.person),
            |r| format!("rejected by {}: {r}", actor.person),
        );
        let mut hold: Hold =
            inner.ports.store.load(&Hold::key_of(service, environment)).await?.unwrap_or_else(|| Hold {
                service: service.clone(),
                environment: environment.clone(),
                hashes: Default::default(),
                up_to: Default::default(),
                instead: Default::default(),
                files: false,
                reason: HoldReason::Rejected,
                message: why.clone(),
                by: Some(actor.person.clone()),
                at_ms: inner.now_ms(),
            });
        hold.hashes.extend(proposal.hashes.values().cloned());
        let mut entry = Entry::new();
        entry
            .event(voted(&proposal, actor, false))
            .event(closed(&proposal, &why))
            .put(&proposal)?
            .put(&hold)?;
        inner.journal.write(entry).await?;
        for (id, hash) in &proposal.hashes {
            let waiting: Vec<Rollout> = inner.open_rollouts(id).await?;
            for mut rollout in waiting.into_iter().filter(|r| r.state.is_waiting() && r.hash == *hash) {
                inner.step_to(&mut rollout, Transition::Reject, Some(why.clone()), Entry::new()).await?;
            }
        }
        inner.tidy_branch(&proposal).await;
        Ok(Outcome::new(format!(
            "{why}; it is not asked again until it changes, or `dhow resume {service} {environment}`"
        )))
    }
}

fn voted(proposal: &Proposal, actor: &Actor, approve: bool) -> Event {
    Event::Voted {
        id: proposal.id.clone(),
        service: proposal.service.clone(),
        environment: proposal.environment.clone(),
        person: actor.person.clone(),
        approve,
    }
}

impl Inner {
    async fn question(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        id: Option<&str>,
    ) -> Result<Proposal, EngineError> {
        let mut open = self.open_proposals(service, environment).await?;
        if let Some(id) = id {
            open.retain(|p| p.id == id);
        }
        if open.len() > 1 {
            let ids: Vec<&str> = open.iter().map(|p| p.id.as_str()).collect();
            return Err(EngineError::Refused(format!(
                "several things are asked there; say which with --id: {}",
                ids.join(", ")
            )));
        }
        open.pop().ok_or_else(|| {
            EngineError::NotFound(format!("nothing is asked about {service} in {environment}"))
        })
    }

    pub(crate) async fn tidy_branch(&self, proposal: &Proposal) {
        if let (Some(_), Some(branch)) = (&proposal.commit, branch(&proposal.service, &proposal.environment))
            && let Err(error) = self.ports.fleet.push_proposal(&branch, None).await
        {
            tracing::warn!(%branch, %error, "the proposal's branch could not be removed");
        }
    }
}
