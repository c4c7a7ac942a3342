//! Removal: only what carries the project's labels. Volumes and data folders stay.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

use super::routes::{Noted, RouteEnd};
use super::site::{Site, Turn};
use super::{ComposeTarget, error};

/// Stops and removes the containers and networks of a project.
pub(super) async fn down(site: &Site, turn: Turn<'_>, project: &str) -> Result<(), TargetError> {
    let command = site.compose(project, None, ["down", "--remove-orphans"]);
    site.change(turn, &format!("removing {project}"), &command).await.map(drop)
}

impl ComposeTarget {
    pub(super) async fn remove_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        epoch: u64,
    ) -> Result<(), TargetError> {
        let executor = self.executors.at(place).await.map_err(error::executor)?;
        let site = Site::new(executor, deployment, &self.options).await?;
        let turn = Turn { rollout: 0, epoch, log: &() };
        site.enter(turn).await?;
        let current = site.current().await?;
        let mut noted: Vec<Option<Noted>> = current
            .into_iter()
            .flat_map(|current| current.former.into_iter().chain(current.proxy))
            .map(Some)
            .collect();
        if noted.is_empty() {
            noted.push(None);
        }
        for proxy in noted {
            let (deployment, place) = (deployment.clone(), place.clone());
            self.routes.remove(&RouteEnd { deployment, place, places: Vec::new(), proxy, epoch }).await?;
        }
        if let Some(project) = project(&site).await? {
            down(&site, turn, &project).await?;
            super::isolate::left(&site, &project, turn).await?;
        }
        for folder in ["current.json", "project", "releases", "content", "seen"] {
            site.executor.remove(&format!("{}/{folder}", site.root)).await.map_err(error::executor)?;
        }
        Ok(())
    }
}

/// The project of a deployment, where one was ever applied or adopted.
pub(super) async fn project(site: &Site) -> Result<Option<String>, TargetError> {
    if let Some(current) = site.current().await? {
        return Ok(Some(current.project));
    }
    let bytes = site.executor.read(&format!("{}/project", site.root)).await.map_err(error::executor)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|project| !project.is_empty()))
}
