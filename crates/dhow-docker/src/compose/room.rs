//! The engine room of a Compose project.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

use super::{ComposeTarget, remove};
use crate::room::{Marks, Room};

impl ComposeTarget {
    /// The project's room; none where nothing was ever applied or adopted.
    pub(super) async fn room(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Option<Room>, TargetError> {
        let site = self.site(deployment, place).await?;
        let Some(project) = remove::project(&site).await? else { return Ok(None) };
        let api = site.api().await?;
        Ok(Some(Room::new(api.docker().clone(), Marks::compose(&project))))
    }
}
