//! The gates in force. A commit that makes them stricter takes force at once; a looser one is refused until people can
//! decide on it (design rule 5.1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::Environment;
use dhow_core::noun::{EnvironmentName, PersonName};
use dhow_core::port::{CommitId, StoreExt as _};
use dhow_core::rollout::{Event, GatesRow};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::View;

/// Commits that are looked at for authors, at most.
const COMMITS: usize = 200;

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

impl Inner {
    /// Compares the fleet's gates with those in force.
    pub(crate) async fn take_gates(&self, view: &View) -> Result<(), EngineError> {
        let mut entry = Entry::new();
        for declared in view.fleet.environments.values() {
            let declared: &Environment = declared;
            let row: Option<GatesRow> = self.ports.store.load(declared.name.as_str()).await?;
            let event = |in_force: bool, reason: String| Event::GatesChanged {
                environment: declared.name.clone(),
                in_force,
                reason,
            };
            match row {
                None => {
                    entry.put(&GatesRow { environment: declared.clone(), refused: None })?;
                }
                Some(row) if row.environment == *declared => {
                    if row.refused.is_some() {
                        entry.put(&GatesRow { refused: None, ..row })?;
                    }
                }
                Some(row) => match loosened(declared, &row.environment) {
                    None => {
                        entry.event(event(true, "the new gates are in force".into()));
                        entry.put(&GatesRow { environment: declared.clone(), refused: None })?;
                    }
                    Some(why) if row.refused.as_deref() != Some(&why) => {
                        tracing::warn!(environment = %declared.name, why, "looser gates are refused; the former ones stay in force");
                        entry.event(event(false, format!("{why}: the former gates stay in force")));
                        entry.put(&GatesRow { refused: Some(why), ..row })?;
                    }
                    Some(_) => {}
                },
            }
        }
        Ok(self.journal.write(entry).await?)
    }

    /// The gates in force in an environment.
    pub(crate) async fn gates(
        &self,
        view: &View,
        environment: &EnvironmentName,
    ) -> Result<Environment, EngineError> {
        if let Some(row) = self.ports.store.load::<GatesRow>(environment.as_str()).await? {
            return Ok(row.environment);
        }
        Ok(match view.fleet.environments.get(environment) {
            Some(declared) => Environment::clone(declared),
            None => Environment::undeclared(environment.clone()),
        })
    }

    /// Who wrote what came since a commit, by folder of the files they touched. Our own commits have no author.
    pub(crate) async fn authors(
        &self,
        since: Option<&CommitId>,
        view: &View,
    ) -> Result<Authors, EngineError> {
        let Some(since) = since else { return Ok(Authors::default()) };
        let mut authors = Authors::default();
        for commit in self.ports.fleet.log(Some(since), &view.commit, COMMITS).await? {
            if self.is_own(&commit.id).await? {
                continue;
            }
            let email = commit.author_email.to_lowercase();
            let known =
                view.fleet.people.iter().find(|(_, p)| p.emails.iter().any(|e| e.to_lowercase() == email));
            let person =
                known.map(|(name, _)| name.clone()).or_else(|| PersonName::new(&commit.author_name).ok());
            for path in commit.paths {
                authors.paths.entry(path).or_default().extend(person.clone());
            }
        }
        Ok(authors)
    }
}

/// Who touched which file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authors {
    paths: BTreeMap<String, BTreeSet<PersonName>>,
}

impl Authors {
    /// Who touched a deployment: its folder, what it depends on, its service's file or the root's.
    pub fn of(&self, deployment: &Arc<dhow_core::fleet::Deployment>) -> Touch {
        let folder = format!("{}/", deployment.folder);
        let service = format!("services/{}/dhow.yaml", deployment.id.service);
        let mut touch = Touch::default();
        for (path, people) in &self.paths {
            if path.starts_with(&folder)
                || *path == service
                || path == "dhow.yaml"
                || deployment.dependencies.contains(path)
            {
                touch.by_person = true;
                touch.people.extend(people.iter().cloned());
            }
        }
        touch
    }
}

/// What people did to a deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touch {
    /// Those whose names are known.
    pub people: BTreeSet<PersonName>,
    /// Somebody did something: it is not only commits of our own.
    pub by_person: bool,
}
