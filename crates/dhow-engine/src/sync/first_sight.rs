//! First sight: nothing that runs is changed (design section 4).

use std::sync::Arc;

use dhow_core::port::TargetError;
use dhow_core::rollout::{DeploymentRow, Event, Health, State, Unclear};

use super::PATIENCE;
use super::desired::Ready;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

impl Inner {
    /// Looks at what runs of a deployment that was never seen. True: there is nothing to roll out now.
    pub(super) async fn first_sight(
        self: &Arc<Self>,
        row: &mut DeploymentRow,
        ready: &Ready,
        entry: &mut Entry,
    ) -> Result<bool, EngineError> {
        let mut present = false;
        let mut steps = 0;
        for place in &ready.rendered.places {
            let look = tokio::time::timeout(PATIENCE, ready.target.observe(&ready.rendered, place)).await;
            let look = look.unwrap_or_else(|_| Err(TargetError::Passing("no answer".into())));
            let observed = match look {
                Ok(observed) => observed,
                Err(error) => {
                    row.waiting_for = Some("a look at what runs; it is tried again".into());
                    row.reason = Some(format!("what runs cannot be seen: {error}"));
                    row.desired = None;
                    row.unclear = Some(Unclear::ForNow);
                    return Ok(true);
                }
            };
            present |= observed.present;
            steps += ready.target.plan(&ready.rendered, &ready.hash, place, &observed).len();
        }
        let id = row.id.clone();
        row.since_ms = self.now_ms();
        if steps == 0 {
            row.adopted = true;
            row.running = Some(ready.hash);
            row.health = Health::Unknown;
            row.authors.clear();
            entry.event(Event::Adopted { deployment: id, hash: ready.hash });
            return Ok(true);
        }
        if present {
            let reason = format!(
                "it runs and differs from the fleet; `dhow plan {0} {1}` shows how, `dhow sync {0} {1}` rolls it out",
                id.service, id.environment
            );
            row.phase = Some(State::Stalled);
            row.waiting_for = Some(reason.clone());
            entry.event(Event::Stalled { deployment: id, reason });
            return Ok(true);
        }
        row.health = Health::Missing;
        Ok(false)
    }
}
