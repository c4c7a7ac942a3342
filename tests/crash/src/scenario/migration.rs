use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, gated, site};
use crate::world::World;

/// The database is made by its migrations, and the process dies meanwhile.
pub struct Migration;

/// Between two deaths.
const STEP: Duration = Duration::from_micros(400);

#[async_trait]
impl Scenario for Migration {
    fn name(&self) -> &'static str {
        "migration"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    fn uses_a_state(&self) -> bool {
        false
    }

    fn own_deaths(&self) -> u64 {
        24
    }

    async fn act(&self, world: &World) -> Result<()> {
        if let Some(number) = world.own {
            let begun = world.state().join("dhow.db.new");
            let there = world.state().join("dhow.db");
            let limit = world.lab.patience;
            // Looked at as often as can be: it is over in milliseconds.
            let looked = tokio::task::spawn_blocking(move || {
                let start = Instant::now();
                while !begun.exists() && !there.exists() && start.elapsed() < limit {
                    std::thread::sleep(Duration::from_micros(50));
                }
                std::thread::sleep(STEP * u32::try_from(number - 1).unwrap_or(0));
            });
            looked.await?;
            world.keeper.kill().await;
        }
        world.publish(&site("one"), "shop/web:1.0.0").await?;
        world.reaches("shop", "stage", "1.0.0").await?;
        world.until("status", |s| s["proposals"].as_array().is_some_and(|all| all.len() == 1)).await.map(drop)
    }
}
