#![expect(clippy::unwrap_used, reason = "a test panics where a promise is broken")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::noun::TargetType;
use dhow_core::port::{Context, Place, Rendered, Target};
use dhow_testkit::target::Lab;
use dhow_testkit::{MemorySource, MemoryTarget};

struct Memory(Arc<MemoryTarget>);

#[async_trait]
impl Lab for Memory {
    fn target(&self) -> Arc<dyn Target> {
        Arc::<MemoryTarget>::clone(&self.0)
    }

    fn place(&self) -> Place {
        Place::Local
    }

    fn release(&self, number: u8) -> Context {
        let rendered = Rendered {
            deployment: "shop/static_file/stage".parse().unwrap(),
            places: vec![Place::Local],
            pins: BTreeMap::new(),
            reads: Vec::new(),
            fleet_files: Vec::new(),
            body: serde_json::Value::Null,
            notes: Vec::new(),
        };
        Context {
            rendered: Arc::new(rendered),
            hash: format!("{number:064}").parse().unwrap(),
            tree: None,
            rollout: 1,
            epoch: 1,
            bundles: Arc::new(MemorySource::default()),
            keep: Vec::new(),
            log: Arc::new(()),
        }
    }

    async fn visible(&self) -> Option<String> {
        let current = self.0.current(&self.release(1).rendered.deployment, &Place::Local);
        current.map(|hash| hash.to_string())
    }
}

#[tokio::test]
async fn the_memory_target_keeps_the_contract_of_targets() {
    dhow_testkit::target::contract(async || Memory(Arc::new(MemoryTarget::new(TargetType::StaticFile))))
        .await;
}
