//! report: views of what is stored, in the shapes of the API (design section 9, "JSON").

use dhow_core::noun::{ArtifactName, DeploymentId, ServiceName};
use dhow_core::port::{EventQuery, Scan, StoreExt as _};
use dhow_core::report::{ArtifactStatus, DeploymentStatus, HistoryEntry, Status, rfc3339};
use dhow_core::rollout::{DeploymentRow, Event, FleetCursor, Proposal, Rollout};

use crate::engine::{Engine, EngineError};

impl Engine {
    /// Every deployment, or those of one service, and what people are asked.
    pub async fn status(&self, service: Option<&ServiceName>) -> Result<Status, EngineError> {
        let prefix = service.map(|s| format!("{s}/")).unwrap_or_default();
        let scan = Scan { prefix, ..Scan::default() };
        let rows: Vec<DeploymentRow> = self.store().list(scan.clone()).await?;
        let mut deployments = Vec::with_capacity(rows.len());
        for row in rows {
            deployments.push(self.deployment_status(row).await?);
        }
        let view = self.inner.view().ok();
        let mut proposals = Vec::new();
        for proposal in self.store().list::<Proposal>(Scan { open_only: true, ..scan }).await? {
            proposals.push(self.inner.proposal_view(proposal).await?);
        }
        let problems: Option<Vec<String>> =
            view.as_ref().map(|v| v.fleet.diagnostics.iter().map(ToString::to_string).collect());
        Ok(Status {
            fleet_commit: self.store().load::<FleetCursor>(FleetCursor::KEY).await?.map(|c| c.commit),
            deployments,
            proposals,
            problems: problems.into_iter().flatten().chain(self.inner.troubles.told()).collect(),
        })
    }

    async fn deployment_status(&self, row: DeploymentRow) -> Result<DeploymentStatus, EngineError> {
        let rollout: Option<Rollout> = match (row.rollout, row.reason.is_some() || row.waiting_for.is_some())
        {
            (Some(number), true) => self.store().load(&Rollout::key_of(&row.id, number)).await?,
            _ => None,
        };
        let running = match &row.running {
            Some(hash) => self.inner.release(&row.id, hash).await?,
            None => None,
        };
        let DeploymentId { service, target, environment } = row.id;
        let artifacts = |pins: &std::collections::BTreeMap<ArtifactName, dhow_core::noun::Pin>| {
            pins.iter()
                .map(|(a, p)| ArtifactStatus { artifact: a.clone(), tag: p.tag.clone(), digest: p.digest })
                .collect::<Vec<_>>()
        };
        Ok(DeploymentStatus {
            service,
            target,
            environment,
            phase: match (row.phase, row.adopted) {
                (Some(state), _) => state.to_string(),
                (None, true) => "adopted".into(),
                (None, false) => "none".into(),
            },
            health: row.health,
            desired: artifacts(&row.desired_pins),
            running: running.map(|r| artifacts(&r.rendered.pins)).unwrap_or_default(),
            fleet_commit: row.commit,
            since: rfc3339(row.since_ms),
            waiting_for: row.waiting_for,
            reason: row.reason,
            failure: rollout.and_then(|r| r.failure),
        })
    }

    /// Facts, in the order of the query.
    pub async fn history(&self, query: EventQuery) -> Result<Vec<HistoryEntry>, EngineError> {
        let stored = self.store().events(query).await?;
        let entries = stored.iter().map(|stored| {
            Ok(HistoryEntry { seq: stored.seq, at: rfc3339(stored.event.at_ms), event: Event::read(stored)? })
        });
        entries.collect()
    }
}
