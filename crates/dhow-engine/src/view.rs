//! The fleet at its head, with the indexes that the voyage needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dhow_core::fleet::{Deployment, Fleet, Service, Tree, VersionSite};
use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, Repository, ServiceName};
use dhow_core::port::CommitId;

/// A service in an environment: what updates, proposals and rollbacks act on.
pub type Scope = (ServiceName, EnvironmentName);

/// The fleet at one commit. It never changes; a newer commit makes a new one that shares what did not change.
#[derive(Clone)]
pub struct View {
    /// The commit.
    pub commit: CommitId,
    /// What it declares.
    pub fleet: Arc<Fleet>,
    /// Its files.
    pub tree: Arc<dyn Tree>,
    // Lists, in order and without doubles: nearly all have one item, and there is one for each deployment.
    scopes: BTreeMap<Scope, Vec<DeploymentId>>,
    readers: BTreeMap<Repository, Vec<Scope>>,
    watched: BTreeSet<Repository>,
    followers: BTreeMap<ServiceName, BTreeSet<ServiceName>>,
}

impl View {
    /// The view of a fleet.
    pub fn new(commit: CommitId, fleet: Arc<Fleet>, tree: Arc<dyn Tree>) -> Self {
        let mut view = Self {
            commit,
            fleet,
            tree,
            scopes: BTreeMap::new(),
            readers: BTreeMap::new(),
            watched: BTreeSet::new(),
            followers: BTreeMap::new(),
        };
        let fleet = Arc::clone(&view.fleet);
        for (id, deployment) in &fleet.deployments {
            let scope = (id.service.clone(), id.environment.clone());
            view.scopes.entry(scope.clone()).or_insert_with(|| Vec::with_capacity(1)).push(id.clone());
            for site in &deployment.sites {
                if let Some(repository) = view.repository(id, site) {
                    let readers = view.readers.entry(repository).or_insert_with(|| Vec::with_capacity(1));
                    if let Err(at) = readers.binary_search(&scope) {
                        readers.insert(at, scope.clone());
                    }
                }
            }
        }
        for service in fleet.services.values() {
            for first in &service.after {
                view.followers.entry(first.clone()).or_default().insert(service.name.clone());
            }
        }
        view.watched = view.decisive();
        view
    }

    /// Repositories whose tags decide something: those of artifacts with a policy.
    fn decisive(&self) -> BTreeSet<Repository> {
        let decides = |repository: &Repository, (service, environment): &Scope| {
            self.repositories(service, environment).any(|r| r == repository)
        };
        let all = self.readers.iter();
        all.filter(|(r, scopes)| scopes.iter().any(|s| decides(r, s))).map(|(r, _)| r.clone()).collect()
    }

    fn same(&self, id: &DeploymentId, deployment: &Arc<Deployment>, service: Option<&Arc<Service>>) -> bool {
        let deployment_same = self.fleet.deployments.get(id).is_some_and(|d| Arc::ptr_eq(d, deployment));
        let service_same = match (self.fleet.services.get(&id.service), service) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        deployment_same && service_same
    }

    /// Whether a deployment is, with its service, the very same in another view.
    pub fn unchanged(&self, other: &Self, id: &DeploymentId) -> bool {
        let service = self.fleet.services.get(&id.service);
        self.fleet.deployments.get(id).is_some_and(|d| other.same(id, d, service))
    }

    /// Where versions stand in a deployment.
    pub fn sites(&self, id: &DeploymentId) -> &[VersionSite] {
        self.fleet.deployments.get(id).map_or(&[], |deployment| deployment.sites.as_slice())
    }

    /// The repository of the version at a site.
    pub fn repository(&self, id: &DeploymentId, site: &VersionSite) -> Option<Repository> {
        site.site.repository.clone().or_else(|| {
            let service = self.fleet.services.get(&id.service)?;
            service.artifacts.get(&site.artifact).map(|a| a.repository.clone())
        })
    }

    /// The deployments of a service in an environment.
    pub fn deployments_of(&self, service: &ServiceName, environment: &EnvironmentName) -> Vec<DeploymentId> {
        let scope = (service.clone(), environment.clone());
        self.scopes.get(&scope).into_iter().flatten().cloned().collect()
    }

    /// Every service in every environment that has a deployment.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.keys()
    }

    /// Which services in which environments take versions from a repository.
    pub fn readers(&self, repository: &Repository) -> Vec<Scope> {
        self.readers.get(repository).into_iter().flatten().cloned().collect()
    }

    /// Repositories whose tags decide something: those of artifacts with a policy.
    pub fn watched(&self) -> &BTreeSet<Repository> {
        &self.watched
    }

    /// The repositories of a service that its policies in an environment select from.
    pub fn repositories(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> impl Iterator<Item = &Repository> {
        let declared = self.fleet.services.get(service).into_iter();
        declared
            .flat_map(move |s| s.artifacts.values().filter(|a| s.rule(environment, &a.name).is_some()))
            .map(|a| &a.repository)
    }

    /// The artifacts that stand somewhere in the deployments of a service in an environment.
    pub fn artifacts_of(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
    ) -> BTreeSet<ArtifactName> {
        let deployments = self.deployments_of(service, environment);
        deployments.iter().flat_map(|id| self.sites(id).iter().map(|s| s.artifact.clone())).collect()
    }

    /// The services that wait for this one, by their `after`.
    pub fn followers(&self, service: &ServiceName) -> impl Iterator<Item = &ServiceName> {
        self.followers.get(service).into_iter().flatten()
    }
}
