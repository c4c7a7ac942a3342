//! Removal of a stack, what it says, and whether it runs as wanted.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, Rendered, TargetError};

use super::SwarmTarget;
use super::body::{Body, Current};
use super::converge::failures;
use super::deploy;
use super::judge::Before;
use super::observe::service_names;
use crate::compose::site::{Site, Turn};
use crate::engine::error;

impl SwarmTarget {
    /// Removes the stack. Volumes and data folders stay.
    pub(super) async fn remove_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        epoch: u64,
    ) -> Result<(), TargetError> {
        let site = self.site(deployment, place).await?;
        let turn = Turn { rollout: 0, epoch, log: &() };
        site.enter(turn).await?;
        if let Some(stack) = stack(&site).await? {
            deploy::remove(&site, &stack, turn).await?;
        }
        for folder in ["current.json", super::apply::TASKS, "stack", "releases", "content", "seen"] {
            site.executor.remove(&format!("{}/{folder}", site.root)).await.map_err(error::executor)?;
        }
        Ok(())
    }

    /// Every service is there as wanted, and its tasks run.
    pub(super) async fn verify_at(&self, rendered: &Rendered, place: &Place) -> Result<(), TargetError> {
        let body = Body::of(rendered)?;
        let look = self.look(rendered, &body, place).await?;
        let names = service_names(&look.seen);
        let before = Before { failed: failures(&look.tasks), ..Before::default() };
        self.wait(&look.api, &body, &names, &before).well().await?;
        if let Some((name, service)) = look.seen.services.iter().find(|(_, service)| !service.matches) {
            let why = match service.present {
                true => service.reasons.join(", "),
                false => "it is not there".to_owned(),
            };
            return Err(TargetError::Failed(format!("{name} is not as the files want it ({why})")));
        }
        match look.seen.unreachable.first() {
            Some(told) => Err(TargetError::Failed(told.clone())),
            None => Ok(()),
        }
    }

    /// The last lines of every service's log, newest last.
    pub(super) async fn logs_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        lines: usize,
    ) -> Result<Vec<String>, TargetError> {
        let site = self.site(deployment, place).await?;
        let Some(stack) = stack(&site).await? else { return Ok(Vec::new()) };
        let (services, _) = site.api().await?.stack(&stack).await?;
        let mut all = Vec::new();
        for service in services {
            let tail = lines.to_string();
            let command =
                site.docker(["service", "logs", "--timestamps", "--no-trunc", "--tail", &tail, &service.id]);
            let output = site.run(&command).await?;
            if !output.ok() {
                return Err(error::docker(&format!("reading the logs of {}", service.name), &output));
            }
            for said in [&output.stdout, &output.stderr] {
                all.extend(String::from_utf8_lossy(said).lines().map(str::to_owned));
            }
        }
        // Each line begins with its time.
        all.sort();
        Ok(all.split_off(all.len().saturating_sub(lines)))
    }
}

/// The stack of a deployment, where one was ever applied or adopted.
pub(super) async fn stack(site: &Site) -> Result<Option<String>, TargetError> {
    let current: Option<Current> = site.json("current.json").await?;
    if let Some(current) = current {
        return Ok(Some(current.stack));
    }
    let bytes = site.executor.read(&format!("{}/stack", site.root)).await.map_err(error::executor)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|stack| !stack.is_empty()))
}
