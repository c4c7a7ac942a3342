//! Edits back on their way into the fleet: what failed, or was left, gives way to what ran before.

use std::collections::BTreeMap;

use dhow_core::noun::{ArtifactName, Pin};
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{Restore, UpdateRow, Why};

use crate::command::Actor;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::Scope;

/// What a person leaves of an artifact, in any deployment, and what everything of it goes back to.
pub(crate) type Leaving = BTreeMap<ArtifactName, (Vec<Pin>, Pin)>;

impl Inner {
    /// Adds what a failure takes back to an entry, together with what waits already.
    pub(crate) async fn stage_restores(
        &self,
        scope: &Scope,
        restores: BTreeMap<ArtifactName, Restore>,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let mut update = self.waiting_way_back(scope).await?;
        for (artifact, restore) in restores {
            let restore = match update.restore.remove(&artifact) {
                Some(waiting) => restore.after(waiting),
                None => restore,
            };
            update.restore.insert(artifact, restore);
        }
        stage(&update, entry)
    }

    /// Adds what a person goes back to. It takes the place of an edit that waits, also of one that may just be on its way
    /// to the remote: all that the fleet holds then gives way.
    pub(crate) async fn stage_return(
        &self,
        scope: &Scope,
        actor: &Actor,
        leaving: Leaving,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let mut update = self.waiting_way_back(scope).await?;
        update.by = Some(actor.person.clone());
        for (artifact, (mut left, back)) in leaving {
            if let Some(waiting) = update.restore.remove(&artifact) {
                left.extend(waiting.left().cloned());
                left.push(waiting.back);
            }
            if let Some(restore) = Restore::of_all(left, back) {
                update.restore.insert(artifact, restore);
            }
        }
        stage(&update, entry)
    }

    async fn waiting_way_back(&self, (service, environment): &Scope) -> Result<UpdateRow, EngineError> {
        let key = UpdateRow::key_of(service, environment, Why::Rollback);
        let known: Option<UpdateRow> = self.ports.store.load(&key).await?;
        Ok(known.unwrap_or_else(|| UpdateRow {
            service: service.clone(),
            environment: environment.clone(),
            pins: BTreeMap::new(),
            restore: BTreeMap::new(),
            why: Why::Rollback,
            by: None,
            proposal: None,
        }))
    }
}

fn stage(update: &UpdateRow, entry: &mut Entry) -> Result<(), EngineError> {
    if !update.restore.is_empty() {
        entry.put(update)?;
    }
    Ok(())
}
