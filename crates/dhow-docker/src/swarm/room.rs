//! The engine room of a stack: its containers on the manager. Those on other nodes are seen by their own engines only.

use dhow_core::noun::DeploymentId;
use dhow_core::port::{Place, TargetError};

use super::{SwarmTarget, remove};
use crate::room::{Marks, Room};

impl SwarmTarget {
    /// The stack's room; none where nothing was ever applied or adopted.
    pub(super) async fn room(
        &self,
        deployment: &DeploymentId,
        place: &Place,
    ) -> Result<Option<Room>, TargetError> {
        let site = self.site(deployment, place).await?;
        let Some(stack) = remove::stack(&site).await? else { return Ok(None) };
        let api = site.api().await?;
        Ok(Some(Room::new(api.docker().clone(), Marks::stack(&stack))))
    }
}
