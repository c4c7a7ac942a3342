use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use async_trait::async_trait;

use super::{Scenario, gated, site};
use crate::world::World;

/// A push whose remote takes its time: Dhow dies meanwhile, and nobody knows whether the commit will arrive.
///
/// 1: it arrives at once, while Dhow starts; 2: when all is done; 3: never, as the push is ended too.
pub struct LatePush;

/// The first push is held until a file appears; all others pass.
const HOOK: &str = "#!/bin/sh\nif mv armed held 2>/dev/null; then\n  echo $$ > pid\n  mv pid arrived\n  \
                    while [ ! -e go ]; do sleep 0.02; done\nfi\n";

#[async_trait]
impl Scenario for LatePush {
    fn name(&self) -> &'static str {
        "late-push"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        world.carry("shop", "1.0.0").await
    }

    fn own_deaths(&self) -> u64 {
        3
    }

    async fn act(&self, world: &World) -> Result<()> {
        let bare = world.repository.bare();
        let hook = bare.join("hooks/pre-receive");
        std::fs::write(&hook, HOOK)?;
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))?;
        let go = || std::fs::write(bare.join("go"), "");
        std::fs::write(bare.join("armed"), "")?;
        if world.own.is_none() {
            go()?;
        }
        world.publish(&site("shop 2.0.0"), "shop/web:2.0.0").await?;
        world.appears(&bare.join("arrived")).await?;
        if world.own.is_some() {
            world.keeper.kill().await;
        }
        match world.own {
            Some(1) => go()?,
            Some(3) => {
                let pid = std::fs::read_to_string(bare.join("arrived"))?;
                let mut kill = tokio::process::Command::new("kill");
                kill.args(["-9", pid.trim()]).status().await?;
            }
            _ => {}
        }
        world.reaches("shop", "stage", "2.0.0").await?;
        go()?;
        world.approve("shop", "production").await?;
        world.reaches("shop", "production", "2.0.0").await
    }
}
