//! What stands in the way of selecting: told once, for the status and the history.

use dhow_core::noun::{ArtifactName, EnvironmentName, Repository, ServiceName};
use dhow_core::port::SourceError;
use dhow_core::rollout::Event;

use crate::engine::Inner;
use crate::journal::Entry;
use crate::trouble::About;

impl Inner {
    /// Notes that nothing can be selected for an artifact, and why; or that it can again. Told once for each reason.
    pub(crate) async fn trouble(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        artifact: &ArtifactName,
        error: Option<&SourceError>,
    ) {
        let about = About::Select(service.clone(), environment.clone(), artifact.clone());
        let Some(error) = error else { return self.troubles.over(&about) };
        let reason = error.to_string();
        if !self.troubles.note(about, &reason) {
            return;
        }
        let mut entry = Entry::new();
        entry.event(Event::SelectFailed {
            service: service.clone(),
            environment: environment.clone(),
            artifact: artifact.clone(),
            reason,
        });
        if let Err(error) = self.journal.write(entry).await {
            tracing::warn!(%error, "it could not be stored that nothing can be selected");
        }
    }

    /// The same, of the artifacts of a repository.
    pub(crate) async fn trouble_with(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        repository: &Repository,
        error: &SourceError,
    ) {
        let Ok(view) = self.view() else { return };
        if self.gates(&view, environment).from.is_some() {
            return;
        }
        let Some(declared) = view.fleet.services.get(service) else { return };
        for artifact in declared.artifacts.values().filter(|a| a.repository == *repository) {
            self.trouble(service, environment, &artifact.name, Some(error)).await;
        }
    }
}
