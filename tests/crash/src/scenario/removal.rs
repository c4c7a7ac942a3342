use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;

use super::{Scenario, gated};
use crate::world::World;

/// The folder of a deployment goes from the fleet; what runs elsewhere stays.
pub struct Removal;

#[async_trait]
impl Scenario for Removal {
    fn name(&self) -> &'static str {
        "removal"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["docs", "shop"])
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        futures::future::try_join(world.carry("docs", "1.0.0"), world.carry("shop", "1.0.0")).await.map(drop)
    }

    async fn act(&self, world: &World) -> Result<()> {
        let gone = "services/shop/static_file/stage/dhow.yaml".to_owned();
        world.repository.commit("the shop leaves stage", &[(gone, String::new())]).await?;
        let is_gone = |status: &Value| status["deployments"].as_array().is_some_and(|all| all.len() == 3);
        world.until("status", is_gone).await.map(drop)
    }
}
