//! sync: read the fleet now, and roll out what waits for a person's word.

use std::collections::BTreeSet;
use std::sync::Arc;

use dhow_core::noun::{DeploymentId, EnvironmentName, ServiceName};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{DeploymentRow, Health, Hold, Removal};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::sync::{ends, is_gone};
use crate::view::View;

impl Engine {
    /// Rolls out what the fleet says of a service in an environment, where that differs from what runs; confirms a
    /// removal that waits. Gates apply.
    pub async fn sync(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Outcome, EngineError> {
        tracing::info!(person = %actor.person, %service, %environment, "sync was asked for");
        let inner = &self.inner;
        inner.sync_once().await?;
        let view = inner.view()?;
        let (mut removed, mut asked) = (0, 0);
        for id in inner.removing(service, environment).await? {
            if is_gone(&view, &id) {
                inner.begin_removal(&id, BTreeSet::new()).await?;
                match inner.row(&id).await?.removal {
                    Some(Removal::Asked) => asked += 1,
                    _ => removed += 1,
                }
            }
        }
        let begun = inner.roll_out_desired(service, environment).await?;
        if removed + asked == 0
            && begun == Begun::default()
            && view.deployments_of(service, environment).is_empty()
        {
            return Err(EngineError::NotFound(format!("the fleet has no {service} in {environment}")));
        }
        let asked = (asked > 0)
            .then(|| format!("a removal waits for approval: `dhow approve {service} {environment}`"));
        let told = [rollouts(begun.rollouts), mends(begun.mends), removals(removed), asked];
        let told: Vec<String> = told.into_iter().flatten().collect();
        Ok(Outcome::new(match told.is_empty() {
            true => "nothing to do: it runs what the fleet says, or is being rolled out".to_owned(),
            false => told.join(", "),
        }))
    }
}

/// What a person's word set going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Rollouts.
    rollouts: usize,
    /// Deployments that are brought back to what was rolled out.
    mends: usize,
}

fn rollouts(begun: usize) -> Option<String> {
    match begun {
        0 => None,
        1 => Some("1 rollout begins".into()),
        _ => Some(format!("{begun} rollouts begin")),
    }
}

fn mends(begun: usize) -> Option<String> {
    match begun {
        0 => None,
        1 => Some("it is being brought back to what was rolled out".into()),
        _ => Some(format!("{begun} deployments are being brought back to what was rolled out")),
    }
}

fn removals(removed: usize) -> Option<String> {
    match removed {
        0 => None,
        1 => Some("1 deployment is removed".into()),
        _ => Some(format!("{removed} deployments are removed")),
    }
}

impl Inner {
    async fn removing(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Vec<dhow_core::noun::DeploymentId>, EngineError> {
        let scan = dhow_core::port::Scan { prefix: format!("{service}/"), ..Default::default() };
        let rows: Vec<DeploymentRow> = self.ports.store.list(scan).await?;
        Ok(rows
            .into_iter()
            .filter(|r| matches!(r.removal, Some(Removal::Waits | Removal::Asked)))
            .filter(|r| r.id.environment == *environment)
            .map(|r| r.id)
            .collect())
    }

    /// Begins a rollout of every deployment that does not run what the fleet says and has none under way.
    pub(crate) async fn roll_out_desired(
        self: &Arc<Self>,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> Result<Begun, EngineError> {
        let view = self.view()?;
        let held = self.scopes.lock(&(service.clone(), environment.clone())).await;
        let hold: Option<Hold> = self.ports.store.load(&Hold::key_of(service, environment)).await?;
        let ids = view.deployments_of(service, environment);
        let mut entry = Entry::new();
        let begun = self.stage_desired(&held, &view, &ids, hold.as_ref(), &mut entry).await?;
        self.journal.write(entry).await?;
        begun.iter().for_each(|id| self.set_off(id));
        Ok(Begun { rollouts: begun.len(), mends: self.mend_all(&held, &ids).await? })
    }

    /// Adds these rollouts to an entry, all in one, and says of which deployments. Once it is stored, they begin.
    pub(super) async fn stage_desired(
        self: &Arc<Self>,
        held: &Held,
        view: &View,
        ids: &[DeploymentId],
        hold: Option<&Hold>,
        entry: &mut Entry,
    ) -> Result<Vec<DeploymentId>, EngineError> {
        let mut wanted = Vec::new();
        for id in ids {
            let row = self.row(id).await?;
            let Some(desired) = row.desired else { continue };
            let mut open = self.open_rollouts(id).await?;
            open.retain(|rollout| !ends(&row, rollout));
            // What is under way may lead away from it.
            let leaves = open.iter().any(|rollout| rollout.hash != desired);
            if row.running == Some(desired) && !leaves {
                continue;
            }
            if let Some(hold) = hold.filter(|hold| hold.holds(id, &desired)) {
                return Err(EngineError::Refused(format!(
                    "{id} is held: {}; `dhow resume {} {}` lifts it",
                    hold.message, id.service, id.environment
                )));
            }
            if !open.iter().any(|rollout| rollout.hash == desired) {
                wanted.push((row, desired));
            }
        }
        let about: Vec<_> = wanted.iter().map(|(row, desired)| (row.id.clone(), Some(*desired))).collect();
        self.close_questions(held, &about, entry).await?;
        for (mut row, desired) in wanted {
            let rollout = self.new_rollout(&mut row, &desired, &view.commit, false);
            row.waiting_for = None;
            self.stage_rollout(held, row, rollout, entry).await?;
        }
        Ok(about.into_iter().map(|(id, _)| id).collect())
    }

    /// Brings back what is degraded, and says of how many.
    pub(super) async fn mend_all(
        self: &Arc<Self>,
        held: &Held,
        ids: &[DeploymentId],
    ) -> Result<usize, EngineError> {
        let mut mends = 0;
        for id in ids {
            let mut row = self.row(id).await?;
            if row.health == Health::Degraded && row.desired == row.running {
                mends += usize::from(self.mend_again(held, &mut row).await?);
            }
        }
        Ok(mends)
    }

    /// A person wants what runs brought back, however often it was.
    async fn mend_again(self: &Arc<Self>, held: &Held, row: &mut DeploymentRow) -> Result<bool, EngineError> {
        if row.mend.is_some() {
            return Ok(true);
        }
        row.take_mend();
        let mut entry = Entry::new();
        let reason = row.reason.clone().unwrap_or_default();
        let mends = self.stage_mend(held, row, &reason, &mut entry);
        if mends {
            entry.put(row)?;
            self.journal.write(entry).await?;
            self.kick(&row.id);
        }
        Ok(mends)
    }
}
