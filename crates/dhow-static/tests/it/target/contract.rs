//! The contract of targets.

use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::port::{Context, Place, Target};
use dhow_testkit::target::Lab;

use super::bench::Bench;

struct ContractLab {
    bench: Bench,
    releases: [Context; 2],
}

#[async_trait]
impl Lab for ContractLab {
    fn target(&self) -> Arc<dyn Target> {
        self.bench.target.clone()
    }

    fn place(&self) -> Place {
        Place::Local
    }

    fn release(&self, number: u8) -> Context {
        self.releases[usize::from(number) - 1].clone()
    }

    async fn visible(&self) -> Option<String> {
        self.bench.body().await
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_targets() {
    dhow_testkit::target::contract(async || {
        let bench = Bench::new().await;
        let releases = [bench.site("1").await, bench.site("2").await];
        ContractLab { bench, releases }
    })
    .await;
}
