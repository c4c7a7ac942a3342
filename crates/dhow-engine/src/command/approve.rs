//! approve, reject.

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::noun::{EnvironmentName, PersonName, ServiceName};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{
    ApprovedHash, Ask, Event, Hold, HoldReason, Proposal, ProposalStatus, Removal, Transition, UpdateRow,
    Vote,
};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::select::update_selected;
use crate::sync::{is_gone, until_resumed};
use crate::update::propose::closed;

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
        let gates = inner.gates(&view, environment);
        let needs = gates.effective_approvals().unwrap_or_else(dhow_core::fleet::Approvals::any_one);
        let held = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut proposal = inner.question(service, environment, id).await?;
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
        entry.event(closed(&proposal, "approved")).put(&proposal)?;
        let message = inner.stage_approved(&held, &proposal, counted, &mut entry).await?;
        inner.journal.write(entry).await?;
        drop(held);
        inner.hurry();
        proposal.hashes.keys().for_each(|id| inner.set_off(id));
        Ok(Outcome::new(message))
    }

    /// Says no; `id` picks one question of several. What was asked about is held until it changes or is resumed.
    pub async fn reject(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        id: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let held = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut proposal = inner.question(service, environment, id).await?;
        proposal.votes.push(Vote { person: actor.person.clone(), approve: false, at_ms: inner.now_ms() });
        proposal.status = ProposalStatus::Rejected;
        let why = reason.map_or_else(
            || format!("rejected by {}", actor.person),
            |r| format!("rejected by {}: {r}", actor.person),
        );
        let mut entry = Entry::new();
        entry.event(voted(&proposal, actor, false)).event(closed(&proposal, &why)).put(&proposal)?;
        inner.stage_rejected(&held, &proposal, actor, &why, &mut entry).await?;
        inner.journal.write(entry).await?;
        drop(held);
        Ok(Outcome::new(match proposal.ask {
            Ask::Removal => format!("{why}; it stays until `dhow sync {service} {environment}`"),
            _ => format!(
                "{why}; it is not asked again until it changes, or `dhow resume {service} {environment}`"
            ),
        }))
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
    /// Adds to an entry what people agreed to.
    async fn stage_approved(
        self: &Arc<Self>,
        _held: &Held,
        proposal: &Proposal,
        by: Vec<PersonName>,
        entry: &mut Entry,
    ) -> Result<&'static str, EngineError> {
        let approved = proposal.hashes.iter().map(|(deployment, hash)| ApprovedHash {
            deployment: deployment.clone(),
            hash: *hash,
            proposal: proposal.id.clone(),
            by: by.clone(),
        });
        match &proposal.ask {
            Ask::Update { pins, why, by } => {
                for pin in pins.values() {
                    if self.is_quarantined(&proposal.service, &proposal.environment, pin).await? {
                        return Err(EngineError::Refused(format!(
                            "{} was quarantined since it was proposed; it cannot be approved",
                            pin.reference()
                        )));
                    }
                }
                if self.held_back(&proposal.service, &proposal.environment, pins).await? {
                    return Err(EngineError::Refused(format!(
                        "{0} is held in {1}; `dhow resume {0} {1}` lifts that",
                        proposal.service, proposal.environment
                    )));
                }
                for hash in approved {
                    entry.put(&hash)?;
                }
                let update = UpdateRow {
                    service: proposal.service.clone(),
                    environment: proposal.environment.clone(),
                    pins: pins.clone(),
                    restore: BTreeMap::new(),
                    why: *why,
                    by: by.clone(),
                    proposal: Some(proposal.id.clone()),
                };
                update_selected(entry, &update)?;
                Ok("approved: it is committed next, then rolled out")
            }
            Ask::Rollout { .. } => {
                for hash in approved {
                    entry.put(&hash)?;
                }
                Ok("approved: it is rolled out now")
            }
            Ask::Removal => {
                let view = self.view()?;
                for id in proposal.hashes.keys().filter(|id| is_gone(&view, id)) {
                    let mut row = self.row(id).await?;
                    self.stage_removal(&mut row, entry).await?;
                }
                Ok("approved: it is removed")
            }
        }
    }

    /// Adds to an entry what follows from a no.
    async fn stage_rejected(
        &self,
        held: &Held,
        proposal: &Proposal,
        actor: &Actor,
        why: &str,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let (service, environment) = (&proposal.service, &proposal.environment);
        if matches!(proposal.ask, Ask::Removal) {
            for id in proposal.hashes.keys() {
                let mut row = self.row(id).await?;
                row.removal = Some(Removal::Waits);
                row.waiting_for = Some(format!("{why}; `dhow sync {service} {environment}` asks again"));
                entry.put(&row)?;
            }
            return Ok(());
        }
        let known: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let mut hold = known.unwrap_or_else(|| {
            Hold::new(service.clone(), environment.clone(), HoldReason::Rejected, self.now_ms())
        });
        if hold.message.is_empty() {
            why.clone_into(&mut hold.message);
            hold.by = Some(actor.person.clone());
        }
        if matches!(proposal.ask, Ask::Update { .. }) {
            // Only the newest answer counts: what was rejected before has changed since.
            hold.rejected = proposal.hashes.iter().map(|(id, hash)| (id.clone(), [*hash].into())).collect();
        }
        for (id, hash) in &proposal.hashes {
            let mut row = self.row(id).await?;
            for mut rollout in self.open_rollouts(id).await? {
                if rollout.state.is_waiting() && rollout.hash == *hash {
                    hold.hashes.entry(id.clone()).or_default().insert(*hash);
                    let told = Some(why.to_owned());
                    self.stage_move(held, &mut rollout, &mut row, Transition::Reject, told, entry)?;
                    row.waiting_for = Some(until_resumed(why, service, environment));
                    entry.put(&rollout)?.put(&row)?;
                }
            }
        }
        entry.put(&hold)?;
        Ok(())
    }

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
}
