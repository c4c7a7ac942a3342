//! An engine that has nothing, and counts what it is asked.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dhow_core::noun::{EnvironmentName, ImageReference, ServerName, ServiceName};
use dhow_core::port::{EventQuery, Hearing, Inside, Tail};
use dhow_core::report::{LogEntries, Processes, Which};
use dhow_web::shape::{DeploymentPlan, HistoryEntry, QuarantineEntry, Status};
use dhow_web::{Actor, Control, ControlError, Outcome, RollbackTo};
use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Nobody {
    asked: AtomicU64,
    newest: watch::Sender<u64>,
}

impl Default for Nobody {
    fn default() -> Self {
        Self { asked: AtomicU64::new(0), newest: watch::channel(0).0 }
    }
}

impl Nobody {
    /// Questions and actions since [`Nobody::forget`].
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        self.asked.store(0, Ordering::Relaxed);
    }

    fn nothing<T>(&self) -> Result<T, ControlError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(ControlError::NotFound("there is nothing".into()))
    }
}

type Done<T = Outcome> = Result<T, ControlError>;
type Service = ServiceName;
type Environment = EnvironmentName;

#[async_trait]
impl Control for Nobody {
    async fn status(&self, _: Option<Service>) -> Done<Status> {
        self.nothing()
    }
    async fn history(&self, _: EventQuery) -> Done<Vec<HistoryEntry>> {
        self.nothing()
    }
    async fn plan(&self, _: Service, _: Environment) -> Done<Vec<DeploymentPlan>> {
        self.nothing()
    }
    async fn promote(&self, _: Actor, _: Service, _: Environment) -> Done {
        self.nothing()
    }
    async fn approve(&self, _: Actor, _: Service, _: Environment, _: Option<String>) -> Done {
        self.nothing()
    }
    async fn reject(
        &self,
        _: Actor,
        _: Service,
        _: Environment,
        _: Option<String>,
        _: Option<String>,
    ) -> Done {
        self.nothing()
    }
    async fn rollback(&self, _: Actor, _: Service, _: Environment, _: RollbackTo) -> Done {
        self.nothing()
    }
    async fn resume(&self, _: Actor, _: Service, _: Environment) -> Done {
        self.nothing()
    }
    async fn sync(&self, _: Actor, _: Service, _: Environment) -> Done {
        self.nothing()
    }
    async fn processes(&self, _: Option<Service>, _: Option<Environment>) -> Done<Processes> {
        self.nothing()
    }
    async fn logs(&self, _: Service, _: Environment, _: Which, _: Tail) -> Done<LogEntries> {
        self.nothing()
    }
    async fn exec(&self, _: Actor, _: Service, _: Environment, _: Which, _: Inside) -> Done<Hearing> {
        self.nothing()
    }
    async fn quarantine_list(&self, _: Option<Service>) -> Done<Vec<QuarantineEntry>> {
        self.nothing()
    }
    async fn quarantine_add(
        &self,
        _: Actor,
        _: Service,
        _: Environment,
        _: ImageReference,
        _: String,
    ) -> Done {
        self.nothing()
    }
    async fn quarantine_remove(&self, _: Actor, _: Service, _: Environment, _: ImageReference) -> Done {
        self.nothing()
    }
    async fn forget_server(&self, _: Actor, _: ServerName) -> Done {
        self.nothing()
    }
    fn environment(&self, spelled: Environment) -> Environment {
        spelled
    }
    fn not_ready(&self) -> Option<&'static str> {
        None
    }
    fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}
