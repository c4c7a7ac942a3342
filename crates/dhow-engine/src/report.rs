//! report: views of what is stored, in the shapes of the API (design section 9, "JSON").

use std::collections::BTreeMap;

use dhow_core::noun::{ArtifactName, DeploymentId, Pin, ServiceName};
use dhow_core::port::{EventQuery, Place, Scan, StoreExt as _};
use dhow_core::report::{
    ArtifactStatus, DebtStatus, DeploymentStatus, HistoryEntry, OpenHold, PlaceStatus, Status, rfc3339,
};
use dhow_core::rollout::{
    Debt, DeploymentRow, Event, FleetCursor, GatesRow, Hold, Progress, Proposal, Rollout, State, UpdateRow,
};

use crate::engine::{Engine, EngineError};
use crate::sync::until;
use crate::view::Scope;

impl Engine {
    /// Every deployment, or those of one service, and what people are asked.
    pub async fn status(&self, service: Option<&ServiceName>) -> Result<Status, EngineError> {
        let prefix = service.map(|s| format!("{s}/")).unwrap_or_default();
        let scan = Scan { prefix, ..Scan::default() };
        // In this order: what was compared is in the rows, and what left the updates is in the head.
        let fleet_commit = self.store().load::<FleetCursor>(FleetCursor::KEY).await?.map(|c| c.commit);
        let updates: Vec<UpdateRow> = self.store().list(scan.clone()).await?;
        let mut by_scope: BTreeMap<Scope, Vec<&UpdateRow>> = BTreeMap::new();
        for update in &updates {
            by_scope.entry(update.scope()).or_default().push(update);
        }
        let rows: Vec<DeploymentRow> = self.store().list(scan.clone()).await?;
        let mut deployments = Vec::with_capacity(rows.len());
        for row in rows {
            let scope = (row.id.service.clone(), row.id.environment.clone());
            let coming = coming(&row, by_scope.get(&scope).map_or(&[], Vec::as_slice));
            deployments.push(self.deployment_status(row, coming).await?);
        }
        let holds: Vec<Hold> = self.store().list(scan.clone()).await?;
        let view = self.inner.view().ok();
        let head = view.as_ref().map(|view| view.commit.clone());
        let mut proposals = Vec::new();
        for proposal in self.store().list::<Proposal>(Scan { open_only: true, ..scan }).await? {
            proposals.push(self.inner.proposal_view(proposal).await?);
        }
        let mut problems: Vec<String> =
            view.iter().flat_map(|v| v.fleet.diagnostics.iter().map(ToString::to_string)).collect();
        let gates: Vec<GatesRow> = self.store().list(Scan::default()).await?;
        let is_declared = |row: &&GatesRow| {
            view.as_ref().is_some_and(|v| v.fleet.environments.contains_key(&row.environment.name))
        };
        problems.extend(gates.iter().filter(is_declared).filter_map(refused));
        problems.extend(self.inner.troubles.told());
        problems.extend(self.taken_over().map(str::to_owned));
        Ok(Status {
            fleet_head: head.filter(|head| Some(head) != fleet_commit.as_ref()),
            fleet_commit,
            deployments,
            proposals,
            holds: holds.into_iter().filter(holds_back).map(open_hold).collect(),
            problems,
        })
    }

    async fn deployment_status(
        &self,
        row: DeploymentRow,
        coming: BTreeMap<ArtifactName, Pin>,
    ) -> Result<DeploymentStatus, EngineError> {
        let settled = row.phase.is_none_or(|phase| phase == State::Succeeded);
        let told = row.reason.is_some() || row.waiting_for.is_some() || !settled;
        let rollout: Option<Rollout> = match (row.rollout, told) {
            (Some(number), true) => self.store().load(&Rollout::key_of(&row.id, number)).await?,
            _ => None,
        };
        let running = match &row.running {
            Some(hash) => self.inner.release(&row.id, hash).await?,
            None => None,
        };
        let places = match rollout.as_ref().filter(|r| r.turns.iter().flatten().count() > 1) {
            Some(rollout) => self.places(rollout).await?,
            None => Vec::new(),
        };
        let mut debts = Vec::with_capacity(row.debts.len());
        for debt in &row.debts {
            debts.push(self.debt_status(&row.id, debt).await?);
        }
        let waiting_for = row.waiting_for.clone().or_else(|| waits_for_places(&row));
        let waiting_for = waiting_for.or_else(|| waits_for_commit(&coming));
        let DeploymentId { service, target, environment } = row.id;
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
            coming: artifacts(&coming),
            running: running.map(|r| artifacts(&r.rendered.pins)).unwrap_or_default(),
            fleet_commit: row.commit,
            since: rfc3339(row.since_ms),
            waiting_for,
            reason: row.reason,
            failure: rollout.and_then(|r| r.failure),
            places,
            debts,
        })
    }

    async fn debt_status(&self, id: &DeploymentId, debt: &Debt) -> Result<DebtStatus, EngineError> {
        let release = match &debt.runs {
            Some(hash) => self.inner.release(id, hash).await?,
            None => None,
        };
        Ok(DebtStatus {
            place: debt.place.clone(),
            owes: debt.owes.as_str().to_owned(),
            runs: release.map(|r| artifacts(&r.rendered.pins)).unwrap_or_default(),
            since: rfc3339(debt.since_ms),
            error: debt.error.clone(),
        })
    }

    /// What runs where, while that is not the same everywhere.
    async fn places(&self, rollout: &Rollout) -> Result<Vec<PlaceStatus>, EngineError> {
        let all: Vec<(&Place, Progress)> =
            rollout.turns.iter().flatten().map(|place| (place, rollout.at(place))).collect();
        if all.iter().all(|(_, progress)| *progress == all[0].1) && all[0].1 != Progress::Between {
            return Ok(Vec::new());
        }
        let mut places = Vec::with_capacity(all.len());
        for (place, progress) in all {
            let hash = match progress {
                Progress::Old => rollout.before,
                Progress::New => Some(rollout.hash),
                Progress::Between => None,
            };
            let release = match &hash {
                Some(hash) => self.inner.release(&rollout.deployment, hash).await?,
                None => None,
            };
            let runs = release.filter(|release| release.rendered.places.contains(place));
            let running = runs.map(|r| artifacts(&r.rendered.pins)).unwrap_or_default();
            places.push(PlaceStatus { place: place.clone(), progress, running });
        }
        Ok(places)
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

/// What a person can do about what places owe.
fn waits_for_places(row: &DeploymentRow) -> Option<String> {
    let told = row.debts.iter().map(|debt| match &debt.place {
        Place::Local => format!("this machine, {}", debt.owes),
        Place::Server(name) => {
            format!("{name} to answer, {}; `dhow server forget {name}` writes it off", debt.owes)
        }
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Versions on their way into the fleet that a deployment would take.
fn coming(row: &DeploymentRow, updates: &[&UpdateRow]) -> BTreeMap<ArtifactName, Pin> {
    let pins = updates.iter().flat_map(|update| &update.pins);
    let is_new = |artifact, pin: &Pin| row.desired_pins.get(artifact).is_some_and(|p| p.digest != pin.digest);
    pins.filter(|(artifact, pin)| is_new(*artifact, pin)).map(|(a, p)| (a.clone(), p.clone())).collect()
}

/// What is selected, or approved, and not in the fleet yet.
fn waits_for_commit(coming: &BTreeMap<ArtifactName, Pin>) -> Option<String> {
    let told = |(artifact, pin): (&ArtifactName, &Pin)| match &pin.tag {
        Some(tag) => format!("{artifact} {tag}"),
        None => format!("{artifact} {}", pin.digest.short()),
    };
    let told: Vec<String> = coming.iter().map(told).collect();
    (!told.is_empty()).then(|| format!("{} to be committed to the fleet", told.join(", ")))
}

/// Gates of the fleet that are not in force.
fn refused(row: &GatesRow) -> Option<String> {
    let (name, why) = (&row.environment.name, row.refused.as_ref()?);
    Some(format!(
        "the gates that dhow.yaml says for {name} are not in force: {why}; the former ones hold, and dhow.yaml should say them"
    ))
}

/// A no to one change alone holds nothing that comes after it.
fn holds_back(hold: &Hold) -> bool {
    !hold.hashes.is_empty() || !hold.up_to.is_empty() || hold.files
}

fn open_hold(hold: Hold) -> OpenHold {
    let reason = until(&hold);
    let Hold { service, environment, at_ms, .. } = hold;
    OpenHold { service, environment, reason, since: rfc3339(at_ms) }
}

fn artifacts(pins: &BTreeMap<ArtifactName, Pin>) -> Vec<ArtifactStatus> {
    let one = |(artifact, pin): (&ArtifactName, &Pin)| ArtifactStatus {
        artifact: artifact.clone(),
        tag: pin.tag.clone(),
        digest: pin.digest,
    };
    pins.iter().map(one).collect()
}
