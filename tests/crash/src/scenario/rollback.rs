use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, gated};
use crate::world::World;

/// A person goes back in production.
pub struct Rollback;

#[async_trait]
impl Scenario for Rollback {
    fn name(&self) -> &'static str {
        "rollback"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        world.carry("shop", "1.0.0").await?;
        world.carry("shop", "2.0.0").await
    }

    async fn act(&self, world: &World) -> Result<()> {
        world.rollback("shop", "production", "1.0.0").await?;
        world.reaches("shop", "production", "1.0.0").await
    }
}
