//! What runs is what is wanted, and it stays up.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::HealthStatusEnum;
use dhow_core::port::{Context, Place, Rendered, Step, TargetError};
use tokio::time::{Instant, sleep};

use super::ComposeTarget;
use super::api::{Api, Facts};
use super::body::{Beside, Body};
use super::diagnose::{ails, told};
use super::site::Site;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

impl ComposeTarget {
    /// Every service runs the wanted build and configuration, and is well.
    pub(super) async fn verify_at(&self, rendered: &Rendered, place: &Place) -> Result<(), TargetError> {
        let body = Body::of(rendered)?;
        let look = self.look(rendered, &body, place).await?;
        for (name, service) in &look.seen.services {
            let of = look.facts.iter().filter(|facts| facts.service == *name);
            for facts in of {
                let wanted = service.containers.iter().any(|c| c.id == facts.id && c.matches);
                if let Some(why) = ails(facts, service.one_shot).filter(|_| wanted) {
                    return Err(TargetError::Failed(told(&look.api, facts, &why).await));
                }
            }
            if !service.satisfied() {
                let fine = service.containers.iter().filter(|c| c.matches && c.up).count();
                let more = match service.reasons.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", service.reasons.join(", ")),
                };
                return Err(TargetError::Failed(format!(
                    "{fine} of {} containers of {name} run as wanted{more}",
                    service.replicas
                )));
            }
        }
        self.keep_route(rendered, &body, &look);
        Ok(())
    }

    /// What ails the first container of the project that something ails.
    pub(super) async fn first_ailing(
        &self,
        rendered: &Rendered,
        body: &Body,
        place: &Place,
    ) -> Option<String> {
        let look = self.look(rendered, body, place).await.ok()?;
        for facts in &look.facts {
            let one_shot = look.seen.services.get(&facts.service).is_some_and(|service| service.one_shot);
            if let Some(why) = ails(facts, one_shot) {
                return Some(told(&look.api, facts, &why).await);
            }
        }
        None
    }

    /// Waits until the new containers of some services run and are healthy, or one of them fails.
    pub(super) async fn ready(
        &self,
        site: &Site,
        body: &Body,
        services: &[String],
        beside: &Beside,
    ) -> Result<(), TargetError> {
        let api = site.api().await?;
        let until = Instant::now() + self.options.start;
        loop {
            let containers = api.containers(&body.project).await?;
            let new =
                containers.iter().filter(|f| services.contains(&f.service) && !beside.old.contains(&f.id));
            let mut waits = None;
            for facts in new {
                let first = beside.first.contains(&facts.service);
                waits = waits.or(waits_for(&api, first, first, facts).await?);
            }
            match waits {
                None => return Ok(()),
                Some(reason) if Instant::now() >= until => {
                    return Err(TargetError::Failed(format!("{reason} after {:?}", self.options.start)));
                }
                Some(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Looks for a while: no container ends, restarts or turns unhealthy.
    pub(super) async fn stays_up(
        &self,
        site: &Site,
        body: &Body,
        step: &Step,
        context: &Context,
    ) -> Result<(), TargetError> {
        let seen = self.look(&context.rendered, body, &step.place).await?.seen;
        let wanted: Vec<&str> = seen
            .services
            .values()
            .flat_map(|service| service.containers.iter().filter(|c| c.matches).map(|c| c.id.as_str()))
            .collect();
        let api = site.api().await?;
        let begun = Instant::now();
        let mut starts: BTreeMap<String, (i64, String)> = BTreeMap::new();
        loop {
            let mut waits = None;
            for id in &wanted {
                let Some(facts) = api.container(id).await? else {
                    return Err(TargetError::Failed(format!("a container of {} is gone", body.project)));
                };
                let service = seen.services.get(&facts.service);
                let (may_end, must_end) = service.map_or((false, false), |s| (s.one_shot, s.waited_for));
                waits = waits.or(waits_for(&api, may_end, must_end, &facts).await?);
                let start = (facts.restarts, facts.started_at.clone());
                let first = starts.entry(facts.id.clone()).or_insert_with(|| start.clone());
                if first.0 != start.0 {
                    let code = facts.exit_code.unwrap_or_default();
                    let why = format!("restarted {} times, the last exit code was {code}", start.0);
                    return Err(TargetError::Failed(told(&api, &facts, &why).await));
                }
            }
            let spent = begun.elapsed();
            match waits {
                None if spent >= self.options.stable => return Ok(()),
                Some(reason) if spent >= self.options.stable.max(self.options.start) => {
                    return Err(TargetError::Failed(format!("{reason} after {spent:.0?}")));
                }
                _ => sleep(PAUSE.min(self.options.stable.max(Duration::from_millis(20)))).await,
            }
        }
    }
}

/// What a container has yet to do; an error where it has failed.
async fn waits_for(
    api: &Api,
    may_end: bool,
    must_end: bool,
    facts: &Facts,
) -> Result<Option<String>, TargetError> {
    if let Some(why) = ails(facts, may_end) {
        return Err(TargetError::Failed(told(api, facts, &why).await));
    }
    if must_end && facts.running {
        return Ok(Some(format!("{} ({}) has not ended", facts.service, facts.name)));
    }
    let starting = facts.health == Some(HealthStatusEnum::STARTING);
    Ok(starting.then(|| format!("{} ({}) is not healthy yet", facts.service, facts.name)))
}
