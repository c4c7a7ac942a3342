//! forget: a server does not come back. What it owes is written off.

use dhow_core::noun::{DeploymentId, ServerName};
use dhow_core::port::{Place, Scan, StoreExt as _};
use dhow_core::rollout::{DeploymentRow, Event, Removal};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;

impl Engine {
    /// Writes off all that a server owes: nothing more is done there for it, whatever runs there. Each deployment is one
    /// batch; a crash between two leaves the others owed, and asking again goes on.
    ///
    /// # Errors
    /// `NotFound`: it owes nothing.
    pub async fn forget_server(&self, actor: &Actor, server: &ServerName) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let place = Place::Server(server.clone());
        let open = Scan { open_only: true, ..Scan::default() };
        let rows: Vec<DeploymentRow> = inner.ports.store.list(open).await?;
        let mut forgotten = Vec::new();
        for row in rows.into_iter().filter(|row| row.debt(&place).is_some()) {
            if inner.write_off(actor, &row.id, &place).await? {
                forgotten.push(row.id.to_string());
            }
        }
        if forgotten.is_empty() {
            return Err(EngineError::NotFound(format!(
                "{server} owes nothing; `dhow status` shows what servers owe"
            )));
        }
        inner.forget_connection(server).await?;
        Ok(Outcome::new(format!(
            "written off, nothing more is done on {server} for it: {}",
            forgotten.join(", ")
        )))
    }
}

impl Inner {
    /// True: there was something to be written off.
    async fn write_off(
        self: &std::sync::Arc<Self>,
        actor: &Actor,
        id: &DeploymentId,
        place: &Place,
    ) -> Result<bool, EngineError> {
        let held = self.scopes.lock(&(id.service.clone(), id.environment.clone())).await;
        let mut row = self.row(id).await?;
        if !row.settle(place) {
            return Ok(false);
        }
        let mut entry = Entry::new();
        entry.event(Event::DebtWrittenOff {
            deployment: id.clone(),
            place: place.clone(),
            by: actor.person.clone(),
        });
        if row.removal == Some(Removal::Owed) && row.debts.is_empty() {
            self.stage_gone(&held, &mut row, &mut entry).await?;
        } else {
            entry.put(&row)?;
        }
        self.journal.write(entry).await?;
        drop(held);
        self.look_at_health(id);
        Ok(true)
    }
}
