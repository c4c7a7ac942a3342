use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::Route;
use dhow_core::port::{Context, Place, Step, Target};
use dhow_testkit::target::{Lab as ContractLab, contract, main_cuts};

use crate::compose::support::{Lab, Upstreams, get};

struct Two {
    lab: Lab,
    releases: [Context; 2],
    upstreams: Option<Arc<Upstreams>>,
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
        let address = match &self.upstreams {
            Some(table) => *table.0.lock().unwrap().get(&self.releases[0].rendered.deployment)?.first()?,
            None => self.lab.door(),
        };
        get(address, "/version").await
    }
}

async fn two(mut lab: Lab, routed: bool) -> Two {
    let upstreams = routed.then(|| Arc::new(Upstreams::default()));
    if let Some(table) = &upstreams {
        lab.routes = table.clone();
        lab.settings.route = Some(Route {
            service: Some("web".into()),
            port: Some(8080),
            host: "x".into(),
            ..Route::default()
        });
    }
    let file = match routed {
        true => format!("services:\n  web:\n    image: {}:1\n", lab.repository("web")),
        false => lab.compose(""),
    };
    let mut releases = Vec::new();
    for tag in ["1", "2"] {
        let pin = lab.version(tag).await;
        releases.push(lab.release(&[("compose.yaml", file.as_str())], &pin).await.0);
    }
    let Ok(releases) = releases.try_into() else { unreachable!() };
    Two { lab, releases, upstreams }
}

#[tokio::test(flavor = "multi_thread")]
async fn recreating_keeps_the_contract_of_targets() {
    if Lab::new().await.is_none() {
        return;
    }
    contract(async || two(Lab::new().await.unwrap(), false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_keeps_the_contract_of_targets() {
    if Lab::new().await.is_none() {
        return;
    }
    contract(async || two(Lab::new().await.unwrap(), true).await).await;
}
