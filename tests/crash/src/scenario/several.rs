use anyhow::Result;
use async_trait::async_trait;
use futures::future::try_join_all;

use super::{Scenario, gated};
use crate::world::World;

const SERVICES: [&str; 3] = ["blog", "docs", "shop"];

/// Three services at once, each in two environments.
pub struct Several;

#[async_trait]
impl Scenario for Several {
    fn name(&self) -> &'static str {
        "several"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&SERVICES)
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        try_join_all(SERVICES.map(|service| world.carry(service, "1.0.0"))).await.map(drop)
    }

    async fn act(&self, world: &World) -> Result<()> {
        try_join_all(SERVICES.map(|service| world.carry(service, "2.0.0"))).await.map(drop)
    }
}
