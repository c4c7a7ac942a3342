//! Proposals: people are asked before an update is committed, or before what a person committed is rolled out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::{DesiredHash, Environment};
use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, PersonName, Pin, ServiceName};
use dhow_core::port::{BranchName, Scan, StoreExt as _};
use dhow_core::rollout::{
    Ask, Event, GatesRow, Health, Hold, Proposal, ProposalStatus, Rollout, UpdateRow, Why,
};

use super::edits::Edits;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::view::{Scope, View};
use dhow_core::report::OpenProposal;

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
        if changes.is_empty() {
            return Ok(());
        }
        let hashes = self.would_be(&view, &changes, service, environment).await?;
        let stale = self.stale_proposals(&view, service, environment).await?;
        let held = self.scopes.lock(&(service.clone(), environment.clone())).await;
        if self.view()?.commit != view.commit {
            // While we waited, the very same may have been approved and committed: it is computed again.
            self.select_soon(service, environment);
            return Ok(());
        }
        if by.is_none() && self.was_rejected(service, environment, &hashes).await? {
            return Ok(());
        }
        if !self.is_still_wanted(service, environment, &pins).await? {
            return Ok(());
        }
        let key = UpdateRow::key_of(service, environment, why);
        if self.ports.store.load::<UpdateRow>(&key).await?.is_some() {
            return Ok(());
        }
        let mut authors: BTreeSet<PersonName> = by.iter().cloned().collect();
        for id in hashes.keys() {
            authors.extend(self.row(id).await?.authors);
        }
        authors.extend(self.uncompared_authors(&view, hashes.keys()).await?);
        let summary = summary(&view, service, environment, &pins);
        let scope = (service.clone(), environment.clone());
        let question = Question { scope, ask: Ask::Update { pins, why, by }, hashes, authors, summary };
        self.ask(&held, question, &stale, Entry::new()).await
    }

    /// Open proposals of updates that would not become what they named any more: the fleet has changed since.
    async fn stale_proposals(
        self: &Arc<Self>,
        view: &View,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<BTreeSet<String>, EngineError> {
        let mut stale = BTreeSet::new();
        for proposal in self.open_proposals(service, environment).await? {
            if let Ask::Update { pins, .. } = &proposal.ask {
                let changes = Edits::set(view, service, environment, pins).apply(view.tree.as_ref())?;
                match self.would_be(view, &changes, service, environment).await {
                    Ok(hashes) if hashes == proposal.hashes => {}
                    // What cannot be told now voids nobody's word.
                    Err(EngineError::Refused(_)) => {}
                    Ok(_) => {
                        stale.insert(proposal.id);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(stale)
    }

    /// Withdraws what is proposed and cannot be had any more: quarantined since, or gone back upstream.
    pub(crate) async fn withdraw(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<(), EngineError> {
        for seen in self.open_proposals(service, environment).await? {
            let Some(outcome) = self.over(&seen).await? else { continue };
            let held = self.scopes.lock(&(service.clone(), environment.clone())).await;
            let key = dhow_core::port::Record::key(&seen);
            let Some(mut proposal) =
                self.ports.store.load::<Proposal>(&key).await?.filter(dhow_core::port::Record::open)
            else {
                continue;
            };
            proposal.status = ProposalStatus::Withdrawn;
            let mut entry = Entry::new();
            entry.event(closed(&proposal, outcome)).put(&proposal)?;
            self.journal.write(entry).await?;
            drop(held);
        }
        Ok(())
    }

    async fn was_rejected(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        hashes: &BTreeMap<DeploymentId, DesiredHash>,
    ) -> Result<bool, EngineError> {
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let Some(hold) = hold else { return Ok(false) };
        let no =
            |id: &DeploymentId, hash: &DesiredHash| hold.rejected.get(id).is_some_and(|r| r.contains(hash));
        Ok(!hashes.is_empty() && hashes.iter().all(|(id, hash)| no(id, hash)))
    }

    /// Asks people whether what a person committed may run.
    pub(crate) async fn propose_rollout(
        &self,
        held: &Held,
        rollout: &Rollout,
        authors: BTreeSet<PersonName>,
    ) -> Result<(), EngineError> {
        let id = &rollout.deployment;
        let open = self.open_proposals(&id.service, &id.environment).await?;
        let mut hashes = BTreeMap::from([(id.clone(), rollout.hash)]);
        let mut all_authors = authors;
        for other in open.iter().filter(|p| matches!(p.ask, Ask::Rollout { .. })) {
            if other.hashes.get(id) == Some(&rollout.hash) {
                return Ok(());
            }
            for (deployment, hash) in &other.hashes {
                hashes.entry(deployment.clone()).or_insert_with(|| *hash);
            }
            all_authors.extend(other.authors.iter().cloned());
        }
        let summary = hashes
            .iter()
            .map(|(id, hash)| {
                format!("{id}: release {} from commit {}", hash.short(), rollout.commit.short())
            })
            .collect();
        let question = Question {
            scope: (id.service.clone(), id.environment.clone()),
            ask: Ask::Rollout { commit: rollout.commit.clone() },
            hashes,
            authors: all_authors,
            summary,
        };
        self.ask(held, question, &BTreeSet::new(), Entry::new()).await?;
        Ok(())
    }

    /// Stores a question with the rest of its entry, unless it is asked already. `None`: it is, or an older one with approvals stands. Those of
    /// `stale` never stand.
    pub(crate) async fn ask(
        &self,
        _held: &Held,
        question: Question,
        stale: &BTreeSet<String>,
        mut entry: Entry,
    ) -> Result<(), EngineError> {
        let Question { scope: (service, environment), ask, hashes, authors, summary } = question;
        for mut other in self.open_proposals(&service, &environment).await? {
            if std::mem::discriminant(&other.ask) != std::mem::discriminant(&ask) {
                continue;
            }
            let same = match (&other.ask, &ask) {
                (Ask::Update { pins: a, .. }, Ask::Update { pins: b, .. }) => {
                    a == b && other.hashes == hashes
                }
                _ => other.hashes == hashes,
            };
            if same {
                self.journal.write(entry).await?;
                return Ok(());
            }
            let approvals = other.votes.iter().any(|v| v.approve);
            let (status, outcome) = match &ask {
                Ask::Update { .. } if stale.contains(&other.id) => {
                    (ProposalStatus::Void, "what it would bring has changed")
                }
                Ask::Update { .. } if approvals => {
                    self.journal.write(entry).await?;
                    return Ok(());
                }
                Ask::Update { .. } => (ProposalStatus::Withdrawn, "a newer one took its place"),
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
            opened_ms: self.now_ms(),
        };
        entry.put(&proposal)?.event(Event::ProposalOpened {
            id: proposal.id.clone(),
            service,
            environment,
            what: proposal.summary.join("; "),
        });
        Ok(self.journal.write(entry).await?)
    }

    /// Takes deployments out of the open questions about rollouts or removals, unless they ask for exactly the release
    /// that stands beside them. A question about nothing is void. Once in an entry: it reads what is stored.
    pub(crate) async fn close_questions(
        &self,
        _held: &Held,
        about: &[(DeploymentId, Option<DesiredHash>)],
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let Some((first, _)) = about.first() else { return Ok(()) };
        for mut proposal in self.open_proposals(&first.service, &first.environment).await? {
            if matches!(proposal.ask, Ask::Update { .. }) {
                continue;
            }
            let before = proposal.hashes.len();
            for (id, keep) in about {
                if proposal.hashes.get(id).is_some_and(|hash| Some(*hash) != *keep) {
                    proposal.hashes.remove(id);
                }
            }
            if proposal.hashes.len() == before {
                continue;
            }
            if proposal.hashes.is_empty() {
                proposal.status = ProposalStatus::Void;
                entry.event(closed(&proposal, "what it named has changed"));
            }
            entry.put(&proposal)?;
        }
        Ok(())
    }

    /// Why an update's proposal is over: the fleet has it, it was quarantined, or upstream does not stand by it any more.
    async fn over(&self, proposal: &Proposal) -> Result<Option<&'static str>, EngineError> {
        let Ask::Update { pins, why, .. } = &proposal.ask else { return Ok(None) };
        let (service, environment) = (&proposal.service, &proposal.environment);
        for pin in pins.values() {
            if self.is_quarantined(service, environment, pin).await? {
                return Ok(Some("a version of it was quarantined"));
            }
        }
        let view = self.view()?;
        if Edits::set(&view, service, environment, pins).is_empty() {
            return Ok(Some("the fleet has it already, or the service is gone"));
        }
        if let (Why::Promotion, Some(from)) = (why, self.gates(&view, environment).from)
            && self.left_upstream(&view, service, &from, pins).await?
        {
            return Ok(Some("it is not healthy upstream any more"));
        }
        Ok(None)
    }

    /// Whether upstream went back from one of these versions and does not stand by it again, or runs it and is degraded.
    /// What is so is not promoted, and a proposal of it is withdrawn.
    pub(crate) async fn left_upstream(
        &self,
        view: &View,
        service: &ServiceName,
        from: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<bool, EngineError> {
        let named = |a: &ArtifactName, pin: &Pin| pins.get(a).is_some_and(|p| p.digest == pin.digest);
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, from)).await?;
        if hold.is_some_and(|hold| hold.up_to.iter().any(|(a, left)| named(a, left)))
            && !self.stands_by(view, service, from, pins).await?
        {
            return Ok(true);
        }
        for id in view.deployments_of(service, from) {
            let row = self.row(&id).await?;
            let runs = match row.running.filter(|_| row.health == Health::Degraded) {
                Some(running) => self.release(&id, &running).await?,
                None => None,
            };
            if runs.is_some_and(|release| release.rendered.pins.iter().any(|(a, pin)| named(a, pin))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a service runs these versions and nothing else is on its way: whoever went back from them came back.
    async fn stands_by(
        &self,
        view: &View,
        service: &ServiceName,
        environment: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<bool, EngineError> {
        let rollback = UpdateRow::key_of(service, environment, Why::Rollback);
        if self.ports.store.load::<UpdateRow>(&rollback).await?.is_some() {
            return Ok(false);
        }
        for id in view.deployments_of(service, environment) {
            let row = self.row(&id).await?;
            let same = |(a, pin): (&ArtifactName, &Pin)| pins.get(a).is_none_or(|p| p.digest == pin.digest);
            if row.running != row.desired
                || !row.desired_pins.iter().all(same)
                || !self.open_rollouts(&id).await?.is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
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
    pub(crate) async fn proposal_view(&self, proposal: Proposal) -> Result<OpenProposal, EngineError> {
        let environment = &proposal.environment;
        let gates = match self.view() {
            Ok(view) => self.gates(&view, environment),
            // Right after a start nobody has read the fleet yet: the gates in force are stored.
            Err(_) => {
                let row: Option<GatesRow> = self.ports.store.load(environment.as_str()).await?;
                row.map_or_else(|| Environment::undeclared(environment.clone()), |row| row.environment)
            }
        };
        let approvals = gates.effective_approvals().unwrap_or_else(dhow_core::fleet::Approvals::any_one);
        let yes: Vec<&PersonName> = proposal.votes.iter().filter(|v| v.approve).map(|v| &v.person).collect();
        let counted =
            approvals.counted(yes, &proposal.authors).into_iter().map(ToString::to_string).collect();
        Ok(OpenProposal {
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

/// What people are to be asked.
pub(crate) struct Question {
    /// About which service in which environment.
    pub scope: Scope,
    /// What.
    pub ask: Ask,
    /// Exactly what would run.
    pub hashes: BTreeMap<DeploymentId, DesiredHash>,
    /// Whose votes may not count.
    pub authors: BTreeSet<PersonName>,
    /// For people.
    pub summary: Vec<String>,
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
