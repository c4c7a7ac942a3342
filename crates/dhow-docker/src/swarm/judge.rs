//! Where a service stands: by its update's status and its tasks, never by what a command said.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ServiceUpdateStatusStateEnum as Update, TaskState};

use super::api::{Mode, NodeFacts, ServiceFacts, TaskFacts};
use super::constraints::fits;

/// Failures of one task after which nothing else will come: the first may be a database that is not up yet.
const FAILURES: usize = 2;

/// Where a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stand {
    /// All its tasks are the wanted ones and run, or have ended as they should.
    Converged,
    /// It is on its way.
    Waits(String),
    /// No node takes a task, as the scheduler says; a node may become free.
    Stuck(String),
    /// It will not get there.
    Fails(Failure),
}

/// Why a service does not get where it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people, without what the task says.
    pub why: String,
    /// The task that shows it.
    pub task: Option<String>,
}

/// What is known of the time before the change that is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    /// Tasks that had failed.
    pub failed: BTreeSet<String>,
    /// How the service was to be reached for which a task was made, by task: tasks themselves do not tell.
    pub endpoints: BTreeMap<String, String>,
}

/// What a service is judged by.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// In the order of their making.
    pub tasks: &'a [TaskFacts],
    /// Needed where a service has constraints, or runs on every node.
    pub nodes: &'a [NodeFacts],
    pub before: &'a Before,
}

impl Scene<'_> {
    /// The task is what Swarm makes of the present specification, or leaves alone under it.
    pub(super) fn is_present(&self, service: &ServiceFacts, task: &TaskFacts) -> bool {
        let placed = || {
            let node = self.nodes.iter().find(|node| Some(&node.id) == task.node.as_ref());
            task.placed == service.placed
                || service.constraints.is_empty()
                || node.is_some_and(|node| fits(&service.constraints, node))
        };
        let endpoint = self.before.endpoints.get(&task.id);
        task.made_of == service.tasks_of && endpoint.is_none_or(|made| *made == service.endpoint) && placed()
    }

    /// Nodes on which a service of the mode `global` is to have a task.
    fn seats(&self, service: &ServiceFacts) -> usize {
        let fit = |node: &&NodeFacts| node.ready && node.active && fits(&service.constraints, node);
        self.nodes.iter().filter(fit).count()
    }
}

/// A service's tasks of its present specification.
struct Own<'a> {
    all: Vec<&'a TaskFacts>,
    /// The newest of each seat that is to run.
    newest: BTreeMap<&'a str, &'a TaskFacts>,
}

impl<'a> Own<'a> {
    fn of(service: &ServiceFacts, scene: Scene<'a>) -> Self {
        let is = |task: &&TaskFacts| {
            let round = service.iteration.is_none() || task.iteration == service.iteration;
            task.service_id == service.id && round && scene.is_present(service, task)
        };
        let all: Vec<&TaskFacts> = scene.tasks.iter().filter(is).collect();
        let live = all.iter().filter(|task| lives(task));
        let newest = live.map(|task| (task.seat.as_str(), *task)).collect();
        Self { all, newest }
    }

    fn newest_failed(&self, known: &BTreeSet<String>) -> Option<&'a TaskFacts> {
        self.all.iter().rev().copied().find(|task| failed(task) && !known.contains(&task.id))
    }
}

/// Where a service stands. Failures from before do not count.
pub(super) fn judge(service: &ServiceFacts, scene: Scene<'_>) -> Stand {
    let own = Own::of(service, scene);
    let (tasks, known) = (scene.tasks, &scene.before.failed);
    if let Some(failure) = stopped(service, tasks, &own, known) {
        return Stand::Fails(failure);
    }
    let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
    for task in own.all.iter().filter(|task| failed(task) && !known.contains(&task.id)) {
        *failures.entry(&task.seat).or_default() += 1;
    }
    let most = service.attempts.map_or(FAILURES, |attempts| FAILURES.min(attempts + 1));
    for (seat, count) in failures {
        let runs = own.newest.get(seat).is_some_and(|task| task.state == TaskState::RUNNING);
        if count >= most && !runs {
            let task = own.newest_failed(known).map(|task| task.id.clone());
            let why = match service.attempts {
                Some(attempts) if count > attempts => {
                    "failed, and its restart_policy starts no other".to_owned()
                }
                _ => format!("failed {count} times, one task after another"),
            };
            return Stand::Fails(Failure { why, task });
        }
    }
    match service.mode {
        Mode::Job(_) | Mode::GlobalJob => job(service, &own),
        Mode::Replicated(_) | Mode::Global => running(service, scene, &own),
    }
}

/// Swarm itself has stopped the update, or taken it back.
fn stopped(
    service: &ServiceFacts,
    tasks: &[TaskFacts],
    own: &Own<'_>,
    known: &BTreeSet<String>,
) -> Option<Failure> {
    let why = match service.update? {
        Update::PAUSED => "was paused by Swarm in its update",
        Update::ROLLBACK_STARTED | Update::ROLLBACK_COMPLETED => {
            "was rolled back by Swarm itself (its update_config says failure_action: rollback)"
        }
        Update::ROLLBACK_PAUSED => "was rolled back by Swarm itself, and that was paused",
        Update::COMPLETED | Update::UPDATING | Update::EMPTY => return None,
    };
    // Swarm names the task; after a rollback it is of a specification that is no more.
    let named = tasks.iter().find(|task| service.update_message.contains(&task.id));
    let any = || {
        tasks
            .iter()
            .rev()
            .find(|task| task.service_id == service.id && failed(task) && !known.contains(&task.id))
    };
    let task = named.or_else(|| own.newest_failed(known)).or_else(any).map(|task| task.id.clone());
    Some(Failure { why: format!("{why}: {}", service.update_message), task })
}

fn running(service: &ServiceFacts, scene: Scene<'_>, own: &Own<'_>) -> Stand {
    let up = own.newest.values().filter(|task| task.state == TaskState::RUNNING).count();
    // A task that may end and has ended well is where it should be.
    let seats: BTreeSet<&str> = own.newest.keys().copied().collect();
    let done: BTreeSet<&str> = own
        .all
        .iter()
        .filter(|task| task.state == TaskState::COMPLETE && !seats.contains(task.seat.as_str()))
        .map(|task| task.seat.as_str())
        .collect();
    let up = up + done.len();
    let former =
        |task: &&TaskFacts| task.service_id == service.id && lives(task) && !scene.is_present(service, task);
    let former = scene.tasks.iter().filter(former).count();
    let wanted = match service.mode {
        Mode::Replicated(count) => count,
        _ => (own.newest.len() + done.len() + former).max(scene.seats(service)).max(1),
    };
    if former == 0 && up >= wanted && own.newest.len() + done.len() == wanted {
        return Stand::Converged;
    }
    let pending = own.newest.values().find(|task| task.state == TaskState::PENDING && !task.error.is_empty());
    if let Some(task) = pending {
        return Stand::Stuck(task.error.clone());
    }
    if service.mode == Mode::Global && own.newest.is_empty() && former == 0 {
        return Stand::Stuck("no suitable node (no node satisfies its placement constraints)".to_owned());
    }
    let more = match former {
        0 => String::new(),
        _ => format!(", {former} run the former version"),
    };
    let state = own.newest.values().find(|task| task.state != TaskState::RUNNING);
    let state = state.map(|task| format!(", one is {}", task.state)).unwrap_or_default();
    Stand::Waits(format!("{up} of {wanted} tasks run{more}{state}"))
}

fn job(service: &ServiceFacts, own: &Own<'_>) -> Stand {
    let done = own.all.iter().filter(|task| task.state == TaskState::COMPLETE).count();
    let wanted = match service.mode {
        Mode::Job(count) => count,
        _ => own.all.iter().map(|task| task.seat.as_str()).collect::<BTreeSet<_>>().len().max(1),
    };
    if done >= wanted {
        return Stand::Converged;
    }
    let pending =
        own.all.iter().rev().find(|task| task.state == TaskState::PENDING && !task.error.is_empty());
    match pending {
        Some(task) => Stand::Stuck(task.error.clone()),
        None => Stand::Waits(format!("{done} of {wanted} tasks have ended")),
    }
}

/// It is to run.
fn lives(task: &TaskFacts) -> bool {
    matches!(task.desired, TaskState::RUNNING | TaskState::READY) && !ended(task)
}

/// It runs no more, whatever is wanted of it.
pub(super) fn ended(task: &TaskFacts) -> bool {
    matches!(
        task.state,
        TaskState::COMPLETE
            | TaskState::SHUTDOWN
            | TaskState::FAILED
            | TaskState::REJECTED
            | TaskState::REMOVE
            | TaskState::ORPHANED
    )
}

/// It ended as it should not have.
pub(super) fn failed(task: &TaskFacts) -> bool {
    matches!(task.state, TaskState::FAILED | TaskState::REJECTED)
}

#[cfg(test)]
pub(super) fn rejected_task(said: &str) -> TaskFacts {
    let task = tests::task("1", "1", "new", TaskState::REJECTED, TaskState::SHUTDOWN);
    TaskFacts { error: said.into(), node: Some("n2".into()), ..task }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(mode: Mode) -> ServiceFacts {
        ServiceFacts {
            id: "s".into(),
            name: "web".into(),
            labels: BTreeMap::new(),
            spec: bollard::models::ServiceSpec::default(),
            spec_hash: String::new(),
            image: "x".into(),
            mode,
            tasks_of: "new".into(),
            placed: String::new(),
            constraints: Vec::new(),
            endpoint: "here".into(),
            update: None,
            update_message: String::new(),
            monitor: std::time::Duration::ZERO,
            ports: Vec::new(),
            attempts: None,
            iteration: None,
        }
    }

    pub(super) fn task(
        id: &str,
        seat: &str,
        made_of: &str,
        state: TaskState,
        desired: TaskState,
    ) -> TaskFacts {
        TaskFacts {
            id: id.into(),
            service_id: "s".into(),
            seat: seat.into(),
            node: None,
            state,
            desired,
            error: String::new(),
            exit_code: None,
            container: None,
            ports: Vec::new(),
            image: "x".into(),
            made_of: made_of.into(),
            placed: String::new(),
            iteration: None,
            created: id.into(),
        }
    }

    fn stand(service: &ServiceFacts, tasks: &[TaskFacts]) -> Stand {
        judge(service, Scene { tasks, nodes: &[], before: &Before::default() })
    }

    use TaskState::{COMPLETE, FAILED, PENDING, RUNNING, SHUTDOWN};

    #[test]
    fn it_has_converged_when_every_task_is_of_the_new_version_and_runs() {
        let web = service(Mode::Replicated(2));
        let new = |seat| task(seat, seat, "new", RUNNING, RUNNING);
        let old = task("0", "2", "old", RUNNING, RUNNING);
        assert!(
            matches!(stand(&web, &[new("1"), old.clone()]), Stand::Waits(told) if told.contains("former"))
        );
        let stopping = TaskFacts { desired: SHUTDOWN, ..old };
        assert_eq!(stand(&web, &[new("1"), stopping, new("2")]), Stand::Converged);
        assert!(matches!(stand(&web, &[new("1")]), Stand::Waits(_)));
    }

    #[test]
    fn a_task_that_was_made_for_other_ports_is_a_former_one() {
        let web = service(Mode::Replicated(1));
        let before =
            Before { endpoints: [("1".to_owned(), "elsewhere".to_owned())].into(), ..Before::default() };
        let judged = |tasks: &[TaskFacts]| judge(&web, Scene { tasks, nodes: &[], before: &before });
        let old = task("1", "1", "new", RUNNING, RUNNING);
        assert!(matches!(judged(std::slice::from_ref(&old)), Stand::Waits(told) if told.contains("former")));
        let stopping = TaskFacts { desired: SHUTDOWN, ..old };
        assert_eq!(judged(&[stopping, task("2", "1", "new", RUNNING, RUNNING)]), Stand::Converged);
    }

    #[test]
    fn a_task_on_a_node_that_fits_no_more_is_a_former_one() {
        let node = |id: &str, disk: &str| NodeFacts {
            id: id.into(),
            ready: true,
            active: true,
            labels: [("disk".to_owned(), disk.to_owned())].into(),
            ..NodeFacts::default()
        };
        let (nodes, before) = ([node("a", "ssd"), node("b", "hdd")], Before::default());
        let on = |id: &str, node: &str| TaskFacts {
            node: Some(node.into()),
            placed: "anywhere".into(),
            ..task(id, node, "new", RUNNING, RUNNING)
        };
        let placed = |mode| ServiceFacts {
            constraints: vec!["node.labels.disk == ssd".into()],
            placed: "ssd".into(),
            ..service(mode)
        };
        let judged =
            |mode, tasks: &[TaskFacts]| judge(&placed(mode), Scene { tasks, nodes: &nodes, before: &before });
        let anywhere = service(Mode::Replicated(1));
        let tasks = [TaskFacts { placed: "other platforms".into(), ..on("1", "b") }];
        let free = judge(&anywhere, Scene { tasks: &tasks, nodes: &[], before: &before });
        assert_eq!(free, Stand::Converged);
        assert_eq!(judged(Mode::Replicated(1), &[on("1", "a")]), Stand::Converged);
        assert!(matches!(judged(Mode::Replicated(1), &[on("1", "b")]), Stand::Waits(_)));
        assert_eq!(judged(Mode::Global, &[on("1", "a")]), Stand::Converged);
        assert!(matches!(judged(Mode::Global, &[on("1", "a"), on("2", "b")]), Stand::Waits(_)));
        let everywhere = service(Mode::Global);
        let tasks = [on("1", "a")];
        let one = judge(&everywhere, Scene { tasks: &tasks, nodes: &nodes, before: &before });
        assert!(matches!(one, Stand::Waits(told) if told.contains("1 of 2")));
    }

    #[test]
    fn a_task_that_fails_once_may_come_up_and_twice_does_not() {
        let web = service(Mode::Replicated(1));
        let failed = |id| task(id, "1", "new", FAILED, SHUTDOWN);
        let next = task("9", "1", "new", TaskState::READY, TaskState::READY);
        assert!(matches!(stand(&web, &[failed("1"), next.clone()]), Stand::Waits(_)));
        let Stand::Fails(failure) = stand(&web, &[failed("1"), failed("2"), next.clone()]) else { panic!() };
        assert_eq!(failure.task.as_deref(), Some("2"));
        let before = Before { failed: ["1".to_owned(), "2".to_owned()].into(), ..Before::default() };
        let tasks = [failed("1"), failed("2"), next];
        assert!(matches!(judge(&web, Scene { tasks: &tasks, nodes: &[], before: &before }), Stand::Waits(_)));
        let once = ServiceFacts { attempts: Some(0), ..web };
        assert!(matches!(stand(&once, &[failed("1")]), Stand::Fails(f) if f.why.contains("restart_policy")));
    }

    #[test]
    fn what_swarm_did_itself_is_told_with_the_task_that_failed() {
        for (update, word) in
            [(Update::PAUSED, "paused"), (Update::ROLLBACK_COMPLETED, "rolled back by Swarm itself")]
        {
            let web = ServiceFacts { update: Some(update), ..service(Mode::Replicated(1)) };
            let tasks = [task("1", "1", "bad", FAILED, SHUTDOWN), task("2", "1", "new", RUNNING, RUNNING)];
            let Stand::Fails(failure) = stand(&web, &tasks) else { panic!("{word}") };
            assert!(failure.why.contains(word), "{}", failure.why);
            assert_eq!(failure.task.as_deref(), Some("1"));
        }
    }

    #[test]
    fn the_scheduler_is_quoted() {
        let web = service(Mode::Replicated(1));
        let mut waits = task("1", "1", "new", PENDING, RUNNING);
        waits.error = "no suitable node (insufficient resources on 1 node)".into();
        assert_eq!(stand(&web, std::slice::from_ref(&waits)), Stand::Stuck(waits.error.clone()));
        assert!(
            matches!(stand(&service(Mode::Global), &[]), Stand::Stuck(told) if told.contains("no suitable node"))
        );
    }

    #[test]
    fn a_job_has_converged_when_all_of_its_round_ended_well() {
        let round =
            |id: &str, round| TaskFacts { iteration: Some(round), ..task(id, id, "new", COMPLETE, COMPLETE) };
        let job = ServiceFacts { iteration: Some(3), ..service(Mode::Job(2)) };
        assert!(matches!(stand(&job, &[round("1", 2), round("2", 2), round("3", 3)]), Stand::Waits(_)));
        assert_eq!(stand(&job, &[round("3", 3), round("4", 3)]), Stand::Converged);
        assert_eq!(stand(&service(Mode::Replicated(0)), &[]), Stand::Converged);
    }
}
