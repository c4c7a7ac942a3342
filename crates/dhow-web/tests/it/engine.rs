use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dhow_core::noun::{Digest, EnvironmentName, ImageReference, ServerName, ServiceName};
use dhow_core::port::{
    CommitId, EventQuery, Heard, Hearing, Inside, LogLine, Phase, Place, Process, Stream, Tail,
};
use dhow_core::report::{DebtStatus, LogEntries, LogEntry, ProcessStatus, Processes, RoomProblem, Which};
use dhow_core::rollout::{CheckFailure, Event, Health, Progress};
use dhow_web::shape::{
    ArtifactStatus, DeploymentPlan, DeploymentStatus, HistoryEntry, OpenHold, OpenProposal, PlaceStatus,
    PlannedStep, QuarantineEntry, Status, rfc3339,
};
use dhow_web::{Actor, Control, ControlError, Outcome, RollbackTo};
use futures::StreamExt as _;
use tokio::sync::watch;

/// An engine that remembers what it was asked, and answers with an error where it was told to.
pub struct FakeEngine {
    pub asked: Mutex<Vec<String>>,
    pub error: Mutex<Option<ControlError>>,
    pub ready: Mutex<bool>,
    /// Held by each stream of lines that goes on.
    pub followers: Arc<()>,
    events: Mutex<Vec<HistoryEntry>>,
    newest: watch::Sender<u64>,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
            error: Mutex::default(),
            ready: Mutex::new(true),
            followers: Arc::default(),
            events: Mutex::default(),
            newest: watch::channel(0).0,
        }
    }
}

impl FakeEngine {
    /// Something happened to a service.
    pub fn happen(&self, service: &str, reason: &str) {
        let deployment = format!("{service}/static_file/stage").parse().unwrap();
        let event = Event::Stalled { deployment, reason: reason.into() };
        let mut events = self.events.lock().unwrap();
        let seq = events.len() as u64 + 1;
        events.push(HistoryEntry { seq, at: rfc3339(1_700_000_000_123), event });
        drop(events);
        self.newest.send_replace(seq);
    }

    fn note(&self, what: String) -> Result<(), ControlError> {
        self.asked.lock().unwrap().push(what);
        self.error.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn act(&self, verb: &str, actor: &Actor, at: (&ServiceName, &EnvironmentName), more: &str) -> Done {
        self.note(format!("{verb} {}/{} by {}{more}", at.0, at.1, actor.person))?;
        Ok(Outcome { message: format!("{verb}: done") })
    }
}

type Done = Result<Outcome, ControlError>;

fn artifact(tag: &str) -> ArtifactStatus {
    ArtifactStatus {
        artifact: "web".parse().unwrap(),
        tag: Some(tag.parse().unwrap()),
        digest: Digest::of(tag.as_bytes()),
    }
}

/// A status in which no field is empty.
pub fn full_status() -> Status {
    Status {
        fleet_commit: Some(CommitId::new("1".repeat(40)).unwrap()),
        fleet_head: Some(CommitId::new("3".repeat(40)).unwrap()),
        holds: vec![OpenHold {
            service: "shop".parse().unwrap(),
            environment: "stage".parse().unwrap(),
            reason: "rolled back by alice; `dhow resume shop stage` lets it go on".into(),
            since: rfc3339(1_700_000_000_000),
        }],
        deployments: vec![DeploymentStatus {
            service: "shop".parse().unwrap(),
            target: "static_file".parse().unwrap(),
            environment: "stage".parse().unwrap(),
            phase: "rolled_back".into(),
            health: Health::Degraded,
            desired: vec![artifact("v2")],
            coming: vec![artifact("v3")],
            running: vec![artifact("v1")],
            fleet_commit: Some(CommitId::new("2".repeat(40)).unwrap()),
            since: rfc3339(1_700_000_000_000),
            waiting_for: Some("two approvals".into()),
            reason: Some("a check failed".into()),
            failure: Some(CheckFailure { check: "http /".into(), answers: vec!["500".into()] }),
            places: vec![PlaceStatus {
                place: Place::Server("web1".parse().unwrap()),
                progress: Progress::New,
                running: vec![artifact("v2")],
            }],
            debts: vec![DebtStatus {
                place: Place::Server("web2".parse().unwrap()),
                owes: "undo".into(),
                runs: vec![artifact("v2")],
                since: rfc3339(1_700_000_000_000),
                error: "web2 cannot be reached".into(),
            }],
        }],
        proposals: vec![OpenProposal {
            id: "p1".into(),
            service: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            summary: vec!["web v1 -> v2".into()],
            needed: 2,
            counted: vec!["bob".into()],
            authors: vec!["alice".into()],
        }],
        problems: vec!["services/x/dhow.yaml:1:1: unknown key".into()],
    }
}

/// Processes in which no field is empty.
pub fn full_processes() -> Processes {
    let process = Process {
        id: "0123456789ab".into(),
        name: "stage_shop-web-1".into(),
        component: "web".into(),
        image: "ghcr.io/acme/web:v1".into(),
        digest: Some(Digest::of(b"v1")),
        state: "running".into(),
        health: Some("healthy".into()),
        since: Some(rfc3339(1_700_000_000_000)),
        exit_code: Some(0),
        restarts: 1,
        memory: Some(1 << 20),
        memory_limit: Some(64 << 20),
        cpu: Some(12.5),
    };
    let place = Place::Server("web1".parse().unwrap());
    Processes {
        processes: vec![ProcessStatus {
            service: "shop".parse().unwrap(),
            target: "compose".parse().unwrap(),
            environment: "stage".parse().unwrap(),
            place: place.clone(),
            process,
        }],
        problems: vec![RoomProblem {
            deployment: "shop/compose/stage".parse().unwrap(),
            place,
            message: "web1 cannot be reached".into(),
        }],
    }
}

#[async_trait]
impl Control for FakeEngine {
    async fn status(&self, service: Option<ServiceName>) -> Result<Status, ControlError> {
        self.note(format!("status {service:?}"))?;
        Ok(full_status())
    }

    async fn history(&self, query: EventQuery) -> Result<Vec<HistoryEntry>, ControlError> {
        let of = |e: &HistoryEntry| match &e.event {
            Event::Stalled { deployment, .. } => deployment.service.clone(),
            _ => unreachable!(),
        };
        let events = self.events.lock().unwrap();
        let fits =
            |e: &&HistoryEntry| e.seq > query.after && query.service.as_ref().is_none_or(|s| *s == of(e));
        Ok(events.iter().filter(fits).take(query.limit).cloned().collect())
    }

    async fn plan(&self, s: ServiceName, e: EnvironmentName) -> Result<Vec<DeploymentPlan>, ControlError> {
        self.note(format!("plan {s}/{e}"))?;
        let step =
            PlannedStep { phase: Phase::Preparing, place: Place::Local, summary: "unpack 3 files".into() };
        let deployment = format!("{s}/static_file/{e}").parse().unwrap();
        Ok(vec![DeploymentPlan {
            deployment,
            release: None,
            steps: vec![step],
            notes: vec!["a note".into()],
        }])
    }

    async fn promote(&self, a: Actor, s: ServiceName, e: EnvironmentName) -> Done {
        self.act("promote", &a, (&s, &e), "")
    }

    async fn approve(&self, a: Actor, s: ServiceName, e: EnvironmentName, id: Option<String>) -> Done {
        self.act("approve", &a, (&s, &e), &format!(" {id:?}"))
    }

    async fn reject(
        &self,
        a: Actor,
        s: ServiceName,
        e: EnvironmentName,
        _id: Option<String>,
        reason: Option<String>,
    ) -> Done {
        self.act("reject", &a, (&s, &e), &format!(" {reason:?}"))
    }

    async fn rollback(&self, a: Actor, s: ServiceName, e: EnvironmentName, to: RollbackTo) -> Done {
        self.act("rollback", &a, (&s, &e), &format!(" {to:?}"))
    }

    async fn resume(&self, a: Actor, s: ServiceName, e: EnvironmentName) -> Done {
        self.act("resume", &a, (&s, &e), "")
    }

    async fn sync(&self, a: Actor, s: ServiceName, e: EnvironmentName) -> Done {
        assert_ne!(s.as_str(), "defect", "a defect of the engine");
        self.act("sync", &a, (&s, &e), "")
    }

    async fn forget_server(&self, a: Actor, server: ServerName) -> Done {
        self.note(format!("forget {server} by {}", a.person))?;
        Ok(Outcome { message: "forget: done".into() })
    }

    async fn processes(
        &self,
        service: Option<ServiceName>,
        environment: Option<EnvironmentName>,
    ) -> Result<Processes, ControlError> {
        self.note(format!("processes {service:?} {environment:?}"))?;
        Ok(full_processes())
    }

    async fn logs(
        &self,
        s: ServiceName,
        e: EnvironmentName,
        which: Which,
        tail: Tail,
    ) -> Result<LogEntries, ControlError> {
        self.note(format!("logs {s}/{e} {which:?} {tail:?}"))?;
        let line = |text: &str| LogEntry::Line {
            deployment: format!("{s}/compose/{e}").parse().unwrap(),
            place: Place::Local,
            line: LogLine {
                component: "web".into(),
                container: "web-1".into(),
                stream: Stream::Out,
                at: None,
                text: text.into(),
            },
        };
        let first = futures::stream::iter([line("one"), line("two")]);
        if !tail.follow {
            return Ok(Box::pin(first));
        }
        let held = Arc::clone(&self.followers);
        let rest = futures::stream::unfold(held, |held| async move {
            std::future::pending::<()>().await;
            Some((LogEntry::Problem(full_processes().problems.remove(0)), held))
        });
        Ok(Box::pin(first.chain(rest)))
    }

    async fn exec(
        &self,
        a: Actor,
        s: ServiceName,
        e: EnvironmentName,
        which: Which,
        inside: Inside,
    ) -> Result<Hearing, ControlError> {
        self.note(format!("exec {s}/{e} by {} {which:?} {inside:?}", a.person))?;
        let heard = [
            Ok(Heard::Began { container: "web-1".into() }),
            Ok(Heard::Wrote { stream: Stream::Err, bytes: vec![0, 255, 10].into() }),
            Ok(Heard::Ended { code: 3 }),
        ];
        Ok(Box::pin(futures::stream::iter(heard)))
    }

    async fn quarantine_list(
        &self,
        service: Option<ServiceName>,
    ) -> Result<Vec<QuarantineEntry>, ControlError> {
        assert_ne!(service.as_ref().map(ServiceName::as_str), Some("defect"), "a defect of the engine");
        Ok(vec![QuarantineEntry {
            service: "shop".parse().unwrap(),
            environment: "stage".parse().unwrap(),
            reference: format!("ghcr.io/acme/web:v3@{}", Digest::of(b"v3")).parse().unwrap(),
            reason: "its check failed".into(),
            by: Some("bob".parse().unwrap()),
            at: rfc3339(1_700_000_000_000),
        }])
    }

    async fn quarantine_add(
        &self,
        a: Actor,
        s: ServiceName,
        e: EnvironmentName,
        reference: ImageReference,
        reason: String,
    ) -> Done {
        self.act("quarantine", &a, (&s, &e), &format!(" {reference} {reason:?}"))
    }

    async fn quarantine_remove(
        &self,
        a: Actor,
        s: ServiceName,
        e: EnvironmentName,
        r: ImageReference,
    ) -> Done {
        self.act("unquarantine", &a, (&s, &e), &format!(" {r}"))
    }

    fn environment(&self, spelled: EnvironmentName) -> EnvironmentName {
        if spelled.as_str() == "prod" { "production".parse().unwrap() } else { spelled }
    }

    fn not_ready(&self) -> Option<&'static str> {
        (!*self.ready.lock().unwrap()).then_some("the fleet is in the fog")
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
