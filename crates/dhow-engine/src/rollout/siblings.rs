//! The other deployments of a service in an environment: what took a failed version goes back with it (design rule
//! 5.6).

use std::collections::BTreeMap;
use std::sync::Arc;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{ArtifactName, DeploymentId, Pin};
use dhow_core::rollout::{DeploymentRow, End, Hold, Release, State, StopRequest, Transition};

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::locks::Held;
use crate::sync::until;

impl Inner {
    /// Adds to an entry that every other deployment which took a failed version goes back too: what waits is ended,
    /// what runs is asked to end, what is through gets a rollout back. `others` are those that must be kicked.
    pub(super) async fn stage_siblings(
        self: &Arc<Self>,
        held: &Held,
        id: &DeploymentId,
        failed: &BTreeMap<ArtifactName, Pin>,
        hold: &mut Hold,
        entry: &mut Entry,
        others: &mut Vec<DeploymentId>,
    ) -> Result<(), EngineError> {
        let view = self.view()?;
        if failed.is_empty() {
            return Ok(());
        }
        let reason = format!("its version failed in {id}");
        let mut about = Vec::new();
        for other in view.deployments_of(&id.service, &id.environment) {
            if other == *id {
                continue;
            }
            let mut row = self.row(&other).await?;
            let runs = self.runs(&row, failed).await?;
            let mut acts = false;
            for mut open in self.open_rollouts(&other).await? {
                let release = self.release(&other, &open.hash).await?;
                if open.is_rollback || !release.is_some_and(|r| takes(&r, failed)) {
                    continue;
                }
                hold.hashes.entry(other.clone()).or_default().insert(open.hash);
                acts = true;
                if open.state.is_waiting() && !runs {
                    let told = Some(reason.clone());
                    self.stage_move(held, &mut open, &mut row, Transition::Supersede, told, entry)?;
                    entry.put(&open)?;
                } else if !open.state.is_waiting() && open.state != State::RollingBack {
                    let (end, reason) = (End::FailedElsewhere, reason.clone());
                    row.stop = Some(StopRequest { rollout: open.number, end, reason });
                }
            }
            if runs {
                hold.hashes.entry(other.clone()).or_default().extend(row.running);
                if let Some(back) = self.stage_back(held, row.clone(), failed, entry).await? {
                    about.push((other.clone(), Some(back)));
                    others.push(other);
                    continue;
                }
            }
            if acts {
                // An edit back follows; where there is none, this is all that is said of it.
                if row.stop.is_none() && row.desired.is_some_and(|desired| hold.holds(&other, &desired)) {
                    row.waiting_for = Some(until(hold));
                }
                entry.put(&row)?;
                about.push((other.clone(), None));
                others.push(other);
            }
        }
        self.close_questions(held, &about, entry).await
    }

    /// Whether what runs of a deployment holds one of these versions.
    async fn runs(
        &self,
        row: &DeploymentRow,
        versions: &BTreeMap<ArtifactName, Pin>,
    ) -> Result<bool, EngineError> {
        let Some(running) = &row.running else { return Ok(false) };
        Ok(self.release(&row.id, running).await?.is_some_and(|release| takes(&release, versions)))
    }

    /// Adds a rollout back to the newest healthy release without these versions or others in quarantine, and says which;
    /// none: there is none.
    async fn stage_back(
        self: &Arc<Self>,
        held: &Held,
        mut row: DeploymentRow,
        failed: &BTreeMap<ArtifactName, Pin>,
        entry: &mut Entry,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let mut releases = self.releases(&row.id).await?;
        releases.retain(|r| r.healthy_at_ms.is_some() && !takes(r, failed));
        releases.sort_by_key(|r| r.healthy_at_ms);
        let mut back = releases.pop();
        while let Some(release) = &back
            && self.quarantined_here(&row.id, release.rendered.pins.values()).await?.is_some()
        {
            back = releases.pop();
        }
        let Some(back) = back else { return Ok(None) };
        let mut rollout = self.new_rollout(&mut row, &back.hash, &back.commit, true);
        rollout.reason = Some("a version that it took failed in another deployment of its service".into());
        self.stage_rollout(held, row, rollout, entry).await?;
        Ok(Some(back.hash))
    }

    /// The same for a deployment whose rollout came through after its version had failed elsewhere: back to the newest
    /// healthy release of which nothing is quarantined.
    pub(super) async fn stage_send_back(
        self: &Arc<Self>,
        held: &Held,
        row: DeploymentRow,
        entry: &mut Entry,
    ) -> Result<Option<DesiredHash>, EngineError> {
        let Some(running) = &row.running else { return Ok(None) };
        let Some(release) = self.release(&row.id, running).await? else { return Ok(None) };
        let mut failed = BTreeMap::new();
        for (artifact, pin) in release.rendered.pins {
            if self.is_quarantined(&row.id.service, &row.id.environment, &pin).await? {
                failed.insert(artifact, pin);
            }
        }
        if failed.is_empty() { Ok(None) } else { self.stage_back(held, row, &failed, entry).await }
    }
}

fn takes(release: &Release, versions: &BTreeMap<ArtifactName, Pin>) -> bool {
    release.rendered.pins.values().any(|p| versions.values().any(|v| v.digest == p.digest))
}
