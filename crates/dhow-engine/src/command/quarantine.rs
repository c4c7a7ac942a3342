//! quarantine list, add, remove.

use dhow_core::noun::{DeploymentId, EnvironmentName, ImageReference, Pin, ServiceName};
use dhow_core::port::{Scan, StoreExt as _};
use dhow_core::rollout::{Event, Quarantined};

use super::{Actor, Outcome};
use crate::engine::{Engine, EngineError, Inner};
use crate::journal::Entry;

impl Engine {
    /// What is quarantined, of one service or of all.
    pub async fn quarantine_list(
        &self,
        service: Option<&ServiceName>,
    ) -> Result<Vec<Quarantined>, EngineError> {
        let prefix = service.map(|s| format!("{s}/")).unwrap_or_default();
        Ok(self.store().list(Scan { prefix, ..Scan::default() }).await?)
    }

    /// Puts a version into quarantine: it is not selected there, nor promoted from there.
    ///
    /// Errors: `NotFound` where the fleet knows no such service or environment.
    pub async fn quarantine_add(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        reference: &ImageReference,
        reason: &str,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        inner.must_know(service, environment)?;
        let pin = inner.pin_of(reference).await?;
        let _guard = inner.scopes.lock(&(service.clone(), environment.clone())).await;
        let mut entry = Entry::new();
        entry.event(Event::Quarantined {
            service: service.clone(),
            environment: environment.clone(),
            repository: pin.repository.clone(),
            digest: pin.digest,
            reason: reason.to_owned(),
        });
        entry.put(&Quarantined {
            service: service.clone(),
            environment: environment.clone(),
            pin: pin.clone(),
            reason: reason.to_owned(),
            by: Some(actor.person.clone()),
            at_ms: inner.now_ms(),
        })?;
        inner.journal.write(entry).await?;
        inner.select_downstream(service, environment);
        Ok(Outcome::new(format!(
            "{} is not selected for {service} in {environment} any more",
            pin.reference()
        )))
    }

    /// Lets a version out of quarantine.
    pub async fn quarantine_remove(
        &self,
        actor: &Actor,
        service: &ServiceName,
        environment: &EnvironmentName,
        reference: &ImageReference,
    ) -> Result<Outcome, EngineError> {
        let inner = &self.inner;
        let pin = inner.pin_of(reference).await?;
        let goes_back = {
            let scope = (service.clone(), environment.clone());
            let _guard = inner.scopes.lock(&scope).await;
            let key = Quarantined::key_of(service, environment, &pin.repository, &pin.digest);
            if inner.ports.store.load::<Quarantined>(&key).await?.is_none() {
                return Err(EngineError::NotFound(format!(
                    "{reference} is not quarantined for {service} in {environment}"
                )));
            }
            let mut entry = Entry::new();
            entry.remove::<Quarantined>(key).event(Event::Unquarantined {
                service: service.clone(),
                environment: environment.clone(),
                repository: pin.repository.clone(),
                digest: pin.digest,
                by: Some(actor.person.clone()),
            });
            let goes_back = inner.stage_left_out(&scope, &pin, &mut entry).await?;
            inner.journal.write(entry).await?;
            goes_back
        };
        if goes_back {
            inner.hurry();
        }
        inner.select_downstream(service, environment);
        let and = if goes_back { "; the fleet goes back from what failed" } else { "" };
        Ok(Outcome::new(format!("{reference} may be selected again{and}")))
    }
}

impl Inner {
    /// A word that was typed wrong must not pass for one that took effect.
    fn must_know(&self, service: &ServiceName, environment: &EnvironmentName) -> Result<(), EngineError> {
        let Ok(view) = self.view() else { return Ok(()) };
        let fleet = &view.fleet;
        let runs = |is: &dyn Fn(&DeploymentId) -> bool| fleet.deployments.keys().any(is);
        let lacks = match () {
            () if fleet.broken_root => return Ok(()),
            () if !fleet.services.contains_key(service) && !runs(&|id| id.service == *service) => {
                format!("service {service}")
            }
            () if !fleet.environments.contains_key(environment)
                && !runs(&|id| id.environment == *environment) =>
            {
                format!("environment {environment}")
            }
            () => return Ok(()),
        };
        Err(EngineError::NotFound(format!("the fleet has no {lacks}; `dhow status` lists what it has")))
    }

    /// The pin behind a reference: its digest, or what its tag was first seen to be.
    async fn pin_of(&self, reference: &ImageReference) -> Result<Pin, EngineError> {
        if let Some(digest) = reference.digest {
            return Ok(Pin { repository: reference.repository.clone(), tag: reference.tag.clone(), digest });
        }
        let Some(tag) = &reference.tag else {
            return Err(EngineError::Refused(format!(
                "{reference} names no version; give a tag or a digest"
            )));
        };
        match self.version_of(&reference.repository, tag, false).await {
            Ok(Some(version)) => Ok(version.pin()),
            Ok(None) => Err(EngineError::NotFound(format!("{reference} is not in its registry"))),
            Err(error) => Err(EngineError::Refused(error.to_string())),
        }
    }
}
