use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::noun::Pin;
use dhow_core::port::{Context, Place, Step, Target};
use dhow_testkit::target::{Lab as ContractLab, contract, main_cuts};

use super::lab::Lab;

struct Two {
    lab: Lab,
    releases: [Context; 2],
}

#[async_trait]
impl ContractLab for Two {
    fn cuts(&self, steps: &[Step]) -> Vec<usize> {
        main_cuts(steps)
    }

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

/// Images are built and pushed once: `first` has them.
async fn two(first: &Lab, pins: &[Pin; 2]) -> Two {
    let mut lab = Lab::new().await.unwrap();
    lab.registry = Arc::clone(&first.registry);
    let file = lab.beside("");
    let one = lab.release(&[("web-stack.yml", file.as_str())], &pins[0]).await;
    let two = lab.release(&[("web-stack.yml", file.as_str())], &pins[1]).await;
    Two { lab, releases: [one, two] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_keeps_the_contract_of_targets() {
    let Some(first) = Lab::new().await else { return };
    let pins = [first.version("1").await, first.version("2").await];
    contract(async || two(&first, &pins).await).await;
}
