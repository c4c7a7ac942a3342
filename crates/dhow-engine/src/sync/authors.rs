//! Who wrote what came into the fleet: an author's vote is not counted (design rule 5.2).

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::fleet::Deployment;
use dhow_core::noun::{DeploymentId, PersonName, ServiceName};
use dhow_core::port::{CommitId, StoreExt as _};
use dhow_core::rollout::{FleetCursor, KnownPeople};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::View;

/// Commits that are looked at, at most: the newest.
pub(crate) const COMMITS: usize = 1000;

/// Who touched which file, our own commits aside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authors {
    paths: BTreeMap<String, BTreeSet<PersonName>>,
}

/// What people did to one deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wrote {
    /// Somebody touched it.
    pub touched: bool,
    /// Who, as far as they are known by name.
    pub people: BTreeSet<PersonName>,
}

impl Authors {
    /// Adds those of later commits.
    pub fn extend(&mut self, other: Self) {
        for (path, people) in other.paths {
            self.paths.entry(path).or_default().extend(people);
        }
    }

    /// Who wrote in a folder, or in the files that say something of it, where nothing else is known of the deployment.
    pub fn of_folder(&self, folder: &str, service: &ServiceName) -> BTreeSet<PersonName> {
        let (below, service) = (format!("{folder}/"), format!("services/{service}/dhow.yaml"));
        let says = |path: &str| path.starts_with(&below) || path == service || path == "dhow.yaml";
        self.paths.iter().filter(|(path, _)| says(path)).flat_map(|(_, people)| people.clone()).collect()
    }

    /// What people did to a deployment: its folder, what it depends on, its service's file or the root's.
    pub fn of(&self, deployment: &Deployment) -> Wrote {
        let folder = format!("{}/", deployment.folder);
        let service = format!("services/{}/dhow.yaml", deployment.id.service);
        let within = self.paths.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder));
        let mut wrote = Wrote::default();
        let single = [service.as_str(), "dhow.yaml"];
        let named = single.into_iter().chain(deployment.dependencies.iter().map(String::as_str));
        for people in within.map(|(_, people)| people).chain(named.filter_map(|path| self.paths.get(path))) {
            wrote.touched = true;
            wrote.people.extend(people.iter().cloned());
        }
        wrote
    }
}

impl Inner {
    /// Keeps by which e-mails people are known, and were ever known.
    pub(super) async fn remember_people(&self, view: &View) -> Result<(), EngineError> {
        let stored: KnownPeople = self.ports.store.load(KnownPeople::KEY).await?.unwrap_or_default();
        let mut known = stored.clone();
        for (name, person) in &view.fleet.people {
            for email in &person.emails {
                known.by_email.entry(email.to_lowercase()).or_default().insert(name.clone());
            }
        }
        if known == stored {
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.put(&known)?;
        Ok(self.journal.write(entry).await?)
    }

    /// Who wrote what lies between two views. A person is known by every e-mail that ever was theirs: a commit cannot
    /// make its author a stranger.
    pub(super) async fn authors(&self, before: Option<&View>, view: &View) -> Result<Authors, EngineError> {
        match before {
            Some(before) => self.authors_since(&before.commit, view).await,
            None => Ok(Authors::default()),
        }
    }

    /// Who wrote what of these deployments was not compared yet: their rows do not know it.
    pub(crate) async fn uncompared_authors(
        &self,
        view: &View,
        ids: impl Iterator<Item = &DeploymentId>,
    ) -> Result<BTreeSet<PersonName>, EngineError> {
        let cursor: Option<FleetCursor> = self.ports.store.load(FleetCursor::KEY).await?;
        let Some(cursor) = cursor.filter(|cursor| cursor.commit != view.commit) else {
            return Ok(BTreeSet::new());
        };
        let authors = self.authors_since(&cursor.commit, view).await?;
        let deployments = ids.filter_map(|id| view.fleet.deployments.get(id));
        Ok(deployments.flat_map(|deployment| authors.of(deployment).people).collect())
    }

    async fn authors_since(&self, before: &CommitId, view: &View) -> Result<Authors, EngineError> {
        let mut authors = Authors::default();
        let ever: KnownPeople = self.ports.store.load(KnownPeople::KEY).await?.unwrap_or_default();
        for commit in self.ports.fleet.log(Some(before), &view.commit, COMMITS).await? {
            if self.is_own(&commit.id).await? {
                continue;
            }
            let email = commit.author_email.to_lowercase();
            let now = view.fleet.people.iter();
            let mut people: BTreeSet<PersonName> = now
                .filter(|(_, person)| person.emails.iter().any(|e| e.to_lowercase() == email))
                .map(|(name, _)| name.clone())
                .collect();
            people.extend(ever.by_email.get(&email).into_iter().flatten().cloned());
            if people.is_empty() {
                people.extend(PersonName::new(&commit.author_name).ok());
            }
            for path in commit.paths {
                authors.paths.entry(path).or_default().extend(people.clone());
            }
        }
        Ok(authors)
    }
}
