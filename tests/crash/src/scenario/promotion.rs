use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, gated};
use crate::world::World;

/// A second version goes to stage, is approved, and goes to production.
pub struct Promotion;

#[async_trait]
impl Scenario for Promotion {
    fn name(&self) -> &'static str {
        "promotion"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        world.carry("shop", "1.0.0").await
    }

    async fn act(&self, world: &World) -> Result<()> {
        world.carry("shop", "2.0.0").await
    }
}
