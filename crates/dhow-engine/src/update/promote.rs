//! Promotion: an environment gets exactly the digests that run healthy in the one before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::noun::{ArtifactName, DeploymentId, EnvironmentName, Pin, ServiceName};
use dhow_core::policy;
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::{DeploymentRow, Health, Proof};

use crate::engine::{EngineError, Inner};
use crate::view::View;

/// What can be promoted, or why nothing can.
pub(crate) enum Promotable {
    /// These versions.
    Set(BTreeMap<ArtifactName, Pin>),
    /// Nothing, for this reason.
    Nothing(String),
}

impl Inner {
    /// The digests of a service that were proven upstream, by every deployment there that takes the artifact.
    pub(crate) async fn promotable(
        self: &Arc<Self>,
        view: &View,
        service: &ServiceName,
        from: &EnvironmentName,
        environment: &EnvironmentName,
        soak: Duration,
    ) -> Result<Promotable, EngineError> {
        if cannot_be_read(view, service, from) {
            return Ok(Promotable::Nothing(format!("the files of {service} in {from} cannot be read")));
        }
        let mut pins: BTreeMap<ArtifactName, Pin> = BTreeMap::new();
        for id in view.deployments_of(service, from) {
            let row: Option<DeploymentRow> = self.ports.store.load(&id.to_string()).await?;
            let Some(row) = row.filter(|r| r.health == Health::Healthy && r.running.is_some()) else {
                return Ok(Promotable::Nothing(format!("{id} is not healthy")));
            };
            if row.running != row.desired {
                return Ok(Promotable::Nothing(format!("{id} does not run what the fleet says yet")));
            }
            let healthy = self.healthy_time(&row);
            if healthy < soak {
                return Ok(Promotable::Nothing(format!("{id} was healthy for {healthy:.0?} of {soak:.0?}")));
            }
            for (artifact, pin) in row.desired_pins {
                match pins.get(&artifact) {
                    Some(other) if other.digest != pin.digest => {
                        return Ok(Promotable::Nothing(format!(
                            "{artifact} differs between deployments of {from}"
                        )));
                    }
                    _ => pins.insert(artifact, pin),
                };
            }
        }
        let taken = view.artifacts_of(service, environment);
        pins.retain(|artifact, _| taken.contains(artifact));
        if pins.is_empty() {
            return Ok(Promotable::Nothing(format!("nothing of {service} runs in {from}")));
        }
        let declared = view.fleet.services.get(service);
        for (artifact, pin) in &pins {
            if self.is_quarantined(service, environment, pin).await? {
                return Ok(Promotable::Nothing(format!("{artifact} {} is quarantined", pin.digest.short())));
            }
            let filter = declared.and_then(|s| s.overrides.get(environment)).and_then(|o| o.get(artifact));
            if let (Some(rule), Some(tag)) = (filter, &pin.tag)
                && !policy::accepts(rule, tag.as_str())
            {
                return Ok(Promotable::Nothing(format!(
                    "{artifact} {tag} is not what the policy of {environment} accepts"
                )));
            }
        }
        if self.left_upstream(view, service, from, &pins).await? {
            return Ok(Promotable::Nothing(format!("{from} went back from it")));
        }
        if self.held_back(service, environment, &pins).await? {
            return Ok(Promotable::Nothing(format!(
                "{service} is held in {environment}; `dhow resume {service} {environment}` lifts it"
            )));
        }
        Ok(Promotable::Set(pins))
    }

    /// Which pins were never healthy upstream, in every deployment that takes the artifact; empty: all were.
    pub(crate) async fn unproven(
        &self,
        view: &View,
        service: &ServiceName,
        from: &EnvironmentName,
        pins: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<Vec<ArtifactName>, EngineError> {
        if cannot_be_read(view, service, from) {
            return Ok(pins.keys().cloned().collect());
        }
        let mut unproven = Vec::new();
        for (artifact, pin) in pins {
            for id in view.deployments_of(service, from) {
                if !view.sites(&id).iter().any(|s| s.artifact == *artifact) {
                    continue;
                }
                let key = format!("{id}/{}@{}", pin.repository, pin.digest);
                if self.ports.store.load::<Proof>(&key).await?.is_none() {
                    unproven.push(artifact.clone());
                    break;
                }
            }
        }
        Ok(unproven)
    }
}

/// Whether files of a service in an environment are broken: nothing is concluded from what seems to be missing there.
pub(crate) fn cannot_be_read(view: &View, service: &ServiceName, environment: &EnvironmentName) -> bool {
    let fleet = &view.fleet;
    let here = |id: &DeploymentId| id.service == *service && id.environment == *environment;
    fleet.broken_root || fleet.broken_services.contains(service) || fleet.broken.keys().any(here)
}
