//! The gates in force. A commit that makes them stricter takes force at once; a looser one is refused until people can
//! decide on it (design rule 5.1).

use std::sync::PoisonError;

use dhow_core::fleet::{Environment, other_names};
use dhow_core::noun::EnvironmentName;
use dhow_core::port::{Scan, StoreExt as _};
use dhow_core::rollout::{Event, GatesRow};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::View;

/// Why the fleet's gates are looser than those in force; `None`: they are not.
fn loosened(now: &Environment, in_force: &Environment) -> Option<String> {
    match (now.effective_approvals(), in_force.effective_approvals()) {
        (None, Some(_)) => return Some("its approvals were removed".into()),
        (Some(new), Some(old)) if new.loosens(&old) => return Some("its approvals ask for less".into()),
        _ => {}
    }
    if in_force.from.is_some() && now.from != in_force.from {
        return Some("`from` was removed or changed".into());
    }
    if now.soak < in_force.soak {
        return Some("its soak is shorter".into());
    }
    None
}

/// The stricter of two gates in each respect, for the first one's environment.
fn stricter(declared: &Environment, other: Environment) -> Environment {
    let approvals = match (declared.effective_approvals(), other.effective_approvals()) {
        (Some(ours), Some(theirs)) if ours.loosens(&theirs) => Some(theirs),
        (None, theirs) => theirs,
        (ours, _) => ours,
    };
    Environment {
        name: declared.name.clone(),
        from: declared.from.clone().or(other.from),
        soak: declared.soak.max(other.soak),
        update: declared.update,
        approvals,
        window: declared.window.clone().or(other.window),
    }
}

impl Inner {
    /// Reads the gates in force from the store.
    pub(super) async fn load_gates(&self) -> Result<(), EngineError> {
        let rows: Vec<GatesRow> = self.ports.store.list(Scan::default()).await?;
        let all = rows.into_iter().map(|row| (row.environment.name.clone(), row.environment)).collect();
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// Compares the fleet's gates with those in force. A root file that cannot be read changes none.
    pub(super) async fn take_gates(&self, view: &View) -> Result<(), EngineError> {
        if view.fleet.broken_root {
            return Ok(());
        }
        let mut entry = Entry::new();
        let mut taken = Vec::new();
        for declared in view.fleet.environments.values() {
            let declared: &Environment = declared;
            let row = self.gates_row(declared).await?;
            let event = |in_force: bool, reason: String| Event::GatesChanged {
                environment: declared.name.clone(),
                in_force,
                reason,
            };
            match row {
                None => {
                    taken.push(GatesRow { environment: declared.clone(), refused: None });
                }
                Some(row) if row.environment == *declared => {
                    if row.refused.is_some() {
                        taken.push(GatesRow { refused: None, ..row });
                    }
                }
                Some(row) => match loosened(declared, &row.environment) {
                    None => {
                        entry.event(event(true, "the new gates are in force".into()));
                        taken.push(GatesRow { environment: declared.clone(), refused: None });
                    }
                    Some(why) if row.refused.as_deref() != Some(&why) => {
                        tracing::warn!(environment = %declared.name, why, "looser gates are refused; the former ones stay in force");
                        entry.event(event(false, format!("{why}: the former gates stay in force")));
                        taken.push(GatesRow { refused: Some(why), ..row });
                    }
                    Some(_) => {}
                },
            }
        }
        for row in &taken {
            entry.put(row)?;
        }
        self.journal.write(entry).await?;
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        in_force.extend(taken.into_iter().map(|row| (row.environment.name.clone(), row.environment)));
        Ok(())
    }

    /// The stored gates of an environment. A name that is new takes over the gates of the other names of its group:
    /// spelling `production` in another way opens nothing.
    async fn gates_row(&self, declared: &Environment) -> Result<Option<GatesRow>, EngineError> {
        if let Some(row) = self.ports.store.load(declared.name.as_str()).await? {
            return Ok(Some(row));
        }
        for name in other_names(&declared.name) {
            if let Some(row) = self.ports.store.load::<GatesRow>(name).await?
                && loosened(declared, &row.environment).is_some()
            {
                let environment = stricter(declared, row.environment);
                return Ok(Some(GatesRow { environment, refused: None }));
            }
        }
        Ok(None)
    }

    /// The gates in force in an environment.
    pub(crate) fn gates(&self, view: &View, environment: &EnvironmentName) -> Environment {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        match (in_force.get(environment), view.fleet.environments.get(environment)) {
            (Some(in_force), _) => in_force.clone(),
            (None, Some(declared)) => Environment::clone(declared),
            (None, None) => Environment::undeclared(environment.clone()),
        }
    }

    /// The environments that are promoted from this one, by the gates in force.
    pub(crate) fn downstream(&self, environment: &EnvironmentName) -> Vec<EnvironmentName> {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        let from_here = in_force.values().filter(|e| e.from.as_ref() == Some(environment));
        from_here.map(|e| e.name.clone()).collect()
    }
}
