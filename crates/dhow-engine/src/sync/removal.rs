//! Removal: a folder that went is a deployment to be removed, under a guard (design section 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::Fleet;
use dhow_core::noun::{DeploymentId, EnvironmentName};
use dhow_core::port::{Place, Scan, StoreExt as _};
use dhow_core::rollout::{Ask, DeploymentRow, Event};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::View;

impl Inner {
    /// Removes what the fleet does not have any more, unless it is too much at once.
    pub(crate) async fn sync_removals(
        self: &Arc<Self>,
        before: Option<&View>,
        view: &View,
    ) -> Result<(), EngineError> {
        if view.fleet.broken_root {
            return Ok(());
        }
        let whole =
            |fleet: &Fleet| !fleet.broken_root && fleet.broken.is_empty() && fleet.broken_services.is_empty();
        let known: Vec<DeploymentId> = match before.filter(|b| whole(&b.fleet)) {
            Some(before) => before.fleet.deployments.keys().cloned().collect(),
            // What went while something could not be read is in no view.
            None => {
                let rows: Vec<DeploymentRow> = self.ports.store.list(Scan::default()).await?;
                // Where people are asked already, their answer is what is waited for.
                let asked = |row: &DeploymentRow| row.removing && row.waiting_for.is_some();
                rows.into_iter().filter(|row| !asked(row)).map(|row| row.id).collect()
            }
        };
        let gone: Vec<DeploymentId> = known
            .iter()
            .filter(|id| !view.fleet.deployments.contains_key(*id) && !is_frozen(view, id))
            .cloned()
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let stalled = too_much(&known, &gone, view);
        for id in gone {
            match stalled.get(&id.environment) {
                Some(reason) => self.stall_removal(&id, reason).await?,
                None => self.begin_removal(&id).await?,
            }
        }
        Ok(())
    }

    async fn stall_removal(&self, id: &DeploymentId, reason: &str) -> Result<(), EngineError> {
        let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        let told = format!("{reason}; `dhow sync {} {}` removes this one", id.service, id.environment);
        tracing::warn!(deployment = %id, reason, "a removal waits for a person");
        row.removing = true;
        row.waiting_for = Some(told.clone());
        let mut entry = Entry::new();
        entry.event(Event::RemovalStalled { deployment: id.clone(), reason: told });
        entry.put(&row)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Removes a deployment, after the environment's approvals.
    pub(crate) async fn begin_removal(self: &Arc<Self>, id: &DeploymentId) -> Result<(), EngineError> {
        let view = self.view()?;
        let gates = self.gates(&view, &id.environment).await?;
        let _guard = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        row.removing = true;
        let hash = row.running.or(row.desired);
        if let (Some(_), Some(hash)) = (gates.effective_approvals(), hash) {
            // Asked first: a row that says so without a question would wait for ever.
            let summary = vec![format!("remove {id}; its data stays")];
            let hashes = BTreeMap::from([(id.clone(), hash)]);
            self.ask(&id.service, &id.environment, Ask::Removal, hashes, BTreeSet::new(), summary).await?;
            row.waiting_for =
                Some(format!("approval of its removal: `dhow approve {} {}`", id.service, id.environment));
            let mut entry = Entry::new();
            entry.put(&row)?;
            self.journal.write(entry).await?;
            return Ok(());
        }
        self.remove_now(row).await
    }

    /// Removes a deployment from where it runs. The caller holds the scope's lock.
    pub(crate) async fn remove_now(self: &Arc<Self>, mut row: DeploymentRow) -> Result<(), EngineError> {
        let id = row.id.clone();
        let mut entry = Entry::new();
        self.supersede_waiting(&mut row, &mut entry).await?;
        entry.event(Event::RemovalStarted { deployment: id.clone() });
        entry.put(&DeploymentRow { removing: true, waiting_for: None, ..row })?;
        self.journal.write(entry).await?;
        if let Some(target) = self.target(id.target)
            && let Err(error) = target.remove(&id, &Place::Local, self.lease.epoch).await
        {
            return Err(EngineError::Refused(format!(
                "{id} could not be removed: {error}; it is tried again"
            )));
        }
        let mut entry = Entry::new();
        entry.event(Event::Removed { deployment: id.clone() });
        entry.remove::<DeploymentRow>(id.to_string());
        Ok(self.journal.write(entry).await?)
    }
}

/// What cannot be read is never taken for removed.
fn is_frozen(view: &View, id: &DeploymentId) -> bool {
    view.fleet.broken.contains_key(id)
        || view.fleet.broken_services.contains(&id.service)
        || view.fleet.templates.contains_key(id)
}

/// The environments in which too much would go at once, with the reason: more than 5 deployments and more than 10 % of
/// an environment, or all of its two or more.
fn too_much(known: &[DeploymentId], gone: &[DeploymentId], view: &View) -> BTreeMap<EnvironmentName, String> {
    let count = |ids: &[DeploymentId]| {
        let mut counts: BTreeMap<EnvironmentName, usize> = BTreeMap::new();
        for id in ids {
            *counts.entry(id.environment.clone()).or_default() += 1;
        }
        counts
    };
    let (had, goes) = (count(known), count(gone));
    let of = |environment: &EnvironmentName| had.get(environment).copied().unwrap_or_default();
    let commit = view.commit.short();
    goes.iter()
        .filter_map(|(environment, n)| {
            let total = of(environment);
            let many = *n > 5 && *n * 10 > total;
            let all_of_several = *n == total && total >= 2;
            (many || all_of_several).then(|| {
                (
                    environment.clone(),
                    format!("commit {commit} removes {n} of {total} deployments of {environment}"),
                )
            })
        })
        .collect()
}
