use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, broken_site, gated};
use crate::world::World;

/// A version whose check fails is taken back, in the world and in Git.
pub struct Quarantine;

#[async_trait]
impl Scenario for Quarantine {
    fn name(&self) -> &'static str {
        "quarantine"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        let mut files = gated(&["shop"]);
        for (_, text) in &mut files {
            *text = text.replace("limit: 20s", "limit: 1500ms");
        }
        files
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        world.carry("shop", "1.0.0").await
    }

    async fn act(&self, world: &World) -> Result<()> {
        world.publish(&broken_site("two"), "shop/web:2.0.0").await?;
        world.until("quarantine", |q| q["quarantined"].to_string().contains("shop/web:2.0.0")).await?;
        let is_back = |status: &serde_json::Value| {
            let row = &status["deployments"][0];
            row["phase"] == "rolled_back" && row["desired"][0]["tag"] == "1.0.0"
        };
        world.until("status?service=shop&environment=stage", is_back).await.map(drop)
    }
}
