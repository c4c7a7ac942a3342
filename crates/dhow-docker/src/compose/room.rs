//! The engine room of a Compose project.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Hearing, Inside, LogLines, Place, Process, Tail, TargetError};

use super::{ComposeTarget, remove};
use crate::room::{Marks, Room};

impl ComposeTarget {
    /// The project's room; none where nothing was ever applied or adopted.
    async fn room(&self, deployment: &DeploymentId, place: &Place) -> Result<Option<Room>, TargetError> {
        let site = self.site(deployment, place).await?;
        let Some(project) = remove::project(&site).await? else { return Ok(None) };
        let api = site.api().await?;
        Ok(Some(Room::new(api.docker().clone(), Marks::compose(&project))))
    }

    pub(super) async fn processes_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Vec<Process>, TargetError> {
        match self.room(deployment, place).await? {
            Some(room) => room.processes().await,
            None => Ok(Vec::new()),
        }
    }

    pub(super) async fn follow_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        tail: &Tail,
    ) -> Result<LogLines, TargetError> {
        match self.room(deployment, place).await? {
            Some(room) => room.follow(tail.clone()).await,
            None => Ok(Box::pin(futures::stream::empty())),
        }
    }

    pub(super) async fn exec_at(
        &self,
        deployment: &DeploymentId,
        place: &Place,
        inside: &Inside,
    ) -> Result<Hearing, TargetError> {
        match self.room(deployment, place).await? {
            Some(room) => room.exec(inside).await,
            None => Err(TargetError::Failed(format!("{deployment} was never started there"))),
        }
    }
}
