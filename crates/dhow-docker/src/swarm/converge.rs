//! Waits for the swarm to get where it was sent, or for the moment when it is certain that it will not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::models::TaskState;
use dhow_core::port::TargetError;
use tokio::time::{Instant, sleep};

use super::api::{Mode, NodeFacts, ServiceFacts, TaskFacts};
use super::judge::{self, Before, Failure, Scene, Stand, judge};
use super::trouble;
use crate::engine::api::Api;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the scheduler may find no node while nothing else stops: certain enough.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long Swarm may take to say what it makes of a task that failed.
const VERDICT: Duration = Duration::from_secs(3);
/// How long nodes may pull an image, and a job may run.
const WORK: Duration = Duration::from_secs(1_800);

/// What is waited for.
pub(super) struct Wait<'a> {
    pub api: &'a Api,
    pub stack: &'a str,
    /// Services, without the stack's name.
    pub services: &'a [String],
    /// What is known of the time before.
    pub before: &'a Before,
    /// How long nothing may move.
    pub still: Duration,
}

/// What was seen when all had converged.
pub(super) struct Converged {
    /// For how long none of a service's tasks ran, at most.
    pub gap: Option<Duration>,
    /// Tasks that had failed until then.
    pub failed: BTreeSet<String>,
    /// Nodes that could not bring an image, and what they said; others could.
    pub rejected: Vec<String>,
}

/// Why a change did not get where it was sent.
pub(super) enum Halt {
    /// The swarm will not get there, as it says itself.
    Certain(TargetError),
    /// The swarm could not be looked at.
    Unseen(TargetError),
}

impl From<TargetError> for Halt {
    fn from(error: TargetError) -> Self {
        Self::Unseen(error)
    }
}

impl Halt {
    pub(super) fn into_error(self) -> TargetError {
        match self {
            Self::Certain(error) | Self::Unseen(error) => error,
        }
    }
}

/// Where the stack stands at one look.
struct Look {
    /// Those that are waited for.
    services: Vec<ServiceFacts>,
    /// Those of the whole stack.
    tasks: Vec<TaskFacts>,
    nodes: Vec<NodeFacts>,
    stands: Vec<(String, Stand)>,
}

impl Wait<'_> {
    /// Waits until every service has converged.
    ///
    /// # Errors
    /// What will not come: paused, rolled back by Swarm, a crash loop, no node, or nothing moves any more.
    pub(super) async fn converge(&self) -> Result<Converged, Halt> {
        let mut moved = (String::new(), Instant::now());
        let mut stuck_since: Option<Instant> = None;
        let mut gaps = Gaps::default();
        loop {
            let look = self.look().await?;
            gaps.see(&look, self.before);
            if look.stands.iter().all(|(_, stand)| *stand == Stand::Converged) {
                let rejected = self.rejected(&look).await;
                return Ok(Converged { gap: gaps.longest, failed: failures(&look.tasks), rejected });
            }
            self.certain(&look).await.map_err(Halt::Certain)?;
            let stuck = look.stands.iter().find_map(|(name, stand)| match stand {
                Stand::Stuck(said) if !look.stopping() => Some((name, said)),
                _ => None,
            });
            match (stuck, stuck_since) {
                (None, _) => stuck_since = None,
                (Some(_), None) => stuck_since = Some(Instant::now()),
                (Some((name, said)), Some(since)) if since.elapsed() >= PATIENCE => {
                    return Err(Halt::Certain(trouble::stuck(name, said)));
                }
                _ => {}
            }
            let now = look.marks();
            if now != moved.0 {
                moved = (now, Instant::now());
            }
            let limit = if look.works() { WORK } else { self.still + look.rests() };
            if moved.1.elapsed() >= limit {
                let told = format!("{}, and nothing moved for {limit:?}", look.open());
                return Err(Halt::Certain(TargetError::Failed(told)));
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks for a while: no task fails, and every service stays where it is.
    ///
    /// # Errors
    /// Something did not stay up.
    pub(super) async fn stays(&self, time: Duration) -> Result<(), TargetError> {
        let begun = Instant::now();
        let mut shaken: Option<Instant> = None;
        loop {
            let look = self.look().await?;
            self.certain(&look).await?;
            let failed = look.failed(self.before);
            let open = look.stands.iter().find(|(_, stand)| *stand != Stand::Converged);
            if failed.is_some() || open.is_some() {
                // Swarm may be about to say what it makes of it.
                let since = *shaken.get_or_insert_with(Instant::now);
                if !look.updating() && failed.is_some() || since.elapsed() >= VERDICT {
                    return Err(self.fell(&look, failed, open).await);
                }
            } else if begun.elapsed() >= time.max(look.watched()) {
                return Ok(());
            } else {
                // It stands again as it should: what comes next is another matter.
                shaken = None;
            }
            sleep(PAUSE.min(time.max(Duration::from_millis(20)))).await;
        }
    }

    async fn fell(
        &self,
        look: &Look,
        failed: Option<(&ServiceFacts, &TaskFacts)>,
        open: Option<&(String, Stand)>,
    ) -> TargetError {
        if let Some((service, task)) = failed {
            let failure = Failure { why: "did not stay up".to_owned(), task: Some(task.id.clone()) };
            return self.failed(look, &service.name, &failure).await;
        }
        let (name, said) = match open {
            Some((name, Stand::Waits(said) | Stand::Stuck(said))) => (name.as_str(), said.as_str()),
            _ => (self.stack, "a task has ended"),
        };
        TargetError::Failed(format!("{name} did not stay up: {said}"))
    }

    /// One look: what ails the first service that does not stand where it should.
    ///
    /// # Errors
    /// Exactly that.
    pub(super) async fn well(&self) -> Result<(), TargetError> {
        let look = self.look().await?;
        self.certain(&look).await?;
        for (name, stand) in &look.stands {
            match stand {
                Stand::Converged | Stand::Fails(_) => {}
                Stand::Stuck(said) => return Err(trouble::stuck(name, said)),
                Stand::Waits(said) => return Err(TargetError::Failed(format!("{name}: {said}"))),
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<Look, TargetError> {
        let (mut services, tasks) = self.api.stack(self.stack).await?;
        services.retain(|service| self.services.contains(&service.name));
        let by_node =
            |service: &ServiceFacts| service.mode == Mode::Global || !service.constraints.is_empty();
        let nodes = match services.iter().any(by_node) {
            true => self.api.nodes().await?,
            false => Vec::new(),
        };
        let scene = Scene { tasks: &tasks, nodes: &nodes, before: self.before };
        let stands = self.services.iter().map(|name| {
            let service = services.iter().find(|service| service.name == *name);
            let stand = service.map(|service| judge(service, scene));
            (name.clone(), stand.unwrap_or_else(|| Stand::Waits("it is not there".to_owned())))
        });
        Ok(Look { stands: stands.collect(), services, tasks, nodes })
    }

    async fn certain(&self, look: &Look) -> Result<(), TargetError> {
        for (name, stand) in &look.stands {
            if let Stand::Fails(failure) = stand {
                return Err(self.failed(look, name, failure).await);
            }
        }
        Ok(())
    }

    async fn failed(&self, look: &Look, name: &str, failure: &Failure) -> TargetError {
        let nodes = self.api.nodes().await.unwrap_or_default();
        trouble::told(self.api, &nodes, name, failure, &look.tasks).await
    }

    /// What nodes said that could not bring an image, while others could.
    async fn rejected(&self, look: &Look) -> Vec<String> {
        let new = |task: &&TaskFacts| {
            trouble::unpulled(task) && look.owns(task) && !self.before.failed.contains(&task.id)
        };
        let rejected: Vec<&TaskFacts> = look.tasks.iter().filter(new).collect();
        if rejected.is_empty() {
            return Vec::new();
        }
        let nodes = self.api.nodes().await.unwrap_or_default();
        let told: BTreeSet<String> = rejected.iter().map(|task| trouble::rejection(&nodes, task)).collect();
        told.into_iter().collect()
    }
}

impl Look {
    /// Something is being stopped, and may make room.
    fn stopping(&self) -> bool {
        self.tasks.iter().any(|task| {
            !judge::ended(task)
                && task.node.is_some()
                && !matches!(task.desired, TaskState::RUNNING | TaskState::READY | TaskState::COMPLETE)
        })
    }

    /// A task of what is waited for that has failed, and had not before.
    fn failed(&self, before: &Before) -> Option<(&ServiceFacts, &TaskFacts)> {
        let scene = Scene { tasks: &self.tasks, nodes: &self.nodes, before };
        let new = self.tasks.iter().rev().filter(|task| {
            // One that a node rejected has moved to another, and all stand where they should.
            judge::failed(task) && !trouble::unpulled(task) && !before.failed.contains(&task.id)
        });
        new.filter_map(|task| {
            let service = self.services.iter().find(|service| service.id == task.service_id)?;
            // How a former one ends says nothing of what runs now.
            scene.is_present(service, task).then_some((service, task))
        })
        .next()
    }

    fn owns(&self, task: &TaskFacts) -> bool {
        self.services.iter().any(|service| service.id == task.service_id)
    }

    /// Something takes its time: an image is pulled, or a job does its work.
    fn works(&self) -> bool {
        let job = |task: &TaskFacts| task.iteration.is_some() && task.state == TaskState::RUNNING;
        let mut own = self.tasks.iter().filter(|task| self.owns(task));
        own.any(|task| task.state == TaskState::PREPARING || job(task))
    }

    /// How long Swarm itself watches the tasks of an update that goes on, and may take it back.
    fn watched(&self) -> Duration {
        use bollard::models::ServiceUpdateStatusStateEnum::UPDATING;
        let services = self.services.iter().filter(|service| service.update == Some(UPDATING));
        services.map(|service| service.monitor).max().unwrap_or_default()
    }

    /// How long Swarm may stand still as its services' files want it: between two tasks, while one stops, before one is
    /// started again.
    fn rests(&self) -> Duration {
        let nanos =
            |said: Option<i64>| Duration::from_nanos(said.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        let of = |service: &ServiceFacts| {
            let task = service.spec.task_template.as_ref();
            let update = service.spec.update_config.as_ref().and_then(|config| config.delay);
            let grace = task.and_then(|t| t.container_spec.as_ref()).and_then(|c| c.stop_grace_period);
            let restart = task.and_then(|t| t.restart_policy.as_ref()).and_then(|policy| policy.delay);
            nanos(update) + nanos(grace) + nanos(restart)
        };
        self.services.iter().map(of).max().unwrap_or_default()
    }

    /// Swarm itself still watches an update.
    fn updating(&self) -> bool {
        use bollard::models::ServiceUpdateStatusStateEnum::UPDATING;
        self.services.iter().any(|service| service.update == Some(UPDATING))
    }

    fn marks(&self) -> String {
        let tasks = self.tasks.iter().map(|task| format!("{}{:?}{:?}", task.id, task.state, task.desired));
        tasks.collect()
    }

    /// What is not done yet.
    fn open(&self) -> String {
        let open = self.stands.iter().filter_map(|(name, stand)| match stand {
            Stand::Waits(said) | Stand::Stuck(said) => Some(format!("{name}: {said}")),
            _ => None,
        });
        open.collect::<Vec<_>>().join("; ")
    }
}

/// Those that have failed.
pub(super) fn failures(tasks: &[TaskFacts]) -> BTreeSet<String> {
    tasks.iter().filter(|task| judge::failed(task)).map(|task| task.id.clone()).collect()
}

/// Since when no task of a service runs that is to run.
#[derive(Default)]
struct Gaps {
    ran: BTreeSet<String>,
    since: BTreeMap<String, Instant>,
    longest: Option<Duration>,
}

impl Gaps {
    fn see(&mut self, look: &Look, before: &Before) {
        let scene = Scene { tasks: &look.tasks, nodes: &look.nodes, before };
        for service in look.services.iter().filter(|s| matches!(s.mode, Mode::Replicated(_))) {
            let runs = look.tasks.iter().any(|task| {
                task.service_id == service.id
                    && task.state == TaskState::RUNNING
                    && task.desired == TaskState::RUNNING
            });
            let former = look.tasks.iter().any(|task| {
                task.service_id == service.id && !scene.is_present(service, task) && !judge::ended(task)
            });
            if runs {
                self.ran.insert(service.name.clone());
                let gap = self.since.remove(&service.name).map(|since| since.elapsed());
                self.longest = self.longest.max(gap);
            } else if self.ran.contains(&service.name) || former {
                self.since.entry(service.name.clone()).or_insert_with(Instant::now);
            }
        }
    }
}
