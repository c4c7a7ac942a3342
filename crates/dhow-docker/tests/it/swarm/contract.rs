use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::port::{Context, Place, Target};
use dhow_testkit::target::{Lab as ContractLab, contract};

use super::lab::Lab;

struct Two {
    lab: Lab,
    releases: [Context; 2],
}

#[async_trait]
impl ContractLab for Two {
    fn target(&self) -> Arc<dyn Target> {
        self.lab.target()
    }

    fn place(&self) -> Place {
        Place::Local
    }

    fn release(&self, number: u8) -> Context {
        let mut context = self.releases[usize::from(number - 1)].clone();
        context.keep = self.releases.iter().map(|release| release.hash).collect();
        context
    }

    async fn visible(&self) -> Option<String> {
        self.lab.newest().await
    }
}

async fn two() -> Two {
    let lab = Lab::new().await.unwrap();
    let file = lab.beside("");
    let mut releases = Vec::new();
    for tag in ["1", "2"] {
        let pin = lab.version(tag).await;
        releases.push(lab.release(&[("web-stack.yml", file.as_str())], &pin).await);
    }
    let Ok(releases) = releases.try_into() else { unreachable!() };
    Two { lab, releases }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "speaks to engines that are up: cargo xtask engines up docker compose swarm sshd server caddy traefik"]
async fn a_stack_keeps_the_contract_of_targets() {
    if Lab::new().await.is_none() {
        return;
    }
    contract(two).await;
}
