use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, gated, site};
use crate::world::World;

/// The first version of all, from the first start on an empty state.
pub struct Publish;

#[async_trait]
impl Scenario for Publish {
    fn name(&self) -> &'static str {
        "publish"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    fn uses_a_state(&self) -> bool {
        false
    }

    async fn act(&self, world: &World) -> Result<()> {
        world.publish(&site("one"), "shop/web:1.0.0").await?;
        world.reaches("shop", "stage", "1.0.0").await?;
        world.until("status", |s| s["proposals"].as_array().is_some_and(|all| all.len() == 1)).await.map(drop)
    }
}
