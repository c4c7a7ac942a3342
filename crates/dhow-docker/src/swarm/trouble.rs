//! What a person needs to know of a service that does not get where it should: each trouble in its own words.

use bollard::models::{HealthStatusEnum, TaskState};
use dhow_core::port::TargetError;

use super::api::{NodeFacts, TaskFacts};
use super::judge::Failure;
use crate::engine::api::{Api, Facts};

/// Lines of a log that are told.
const LINES: usize = 20;

/// No node takes a task: what the scheduler says, and what to do.
pub(super) fn stuck(service: &str, said: &str) -> TargetError {
    let told = |advice: &str| format!("{service} finds no place in the swarm: {said}; {advice}");
    if said.contains("insufficient resources") {
        return TargetError::Blocked(told(
            "its reservations are more than the nodes have free: free some, add a node, or lower \
             `deploy.resources.reservations`",
        ));
    }
    if said.contains("port already in use") {
        return TargetError::Blocked(told(
            "another service has its host port on every node that fits: give another port, or remove that service \
             (`docker service ls` shows ports)",
        ));
    }
    if said.contains("not available for new tasks") && !said.contains("constraints") {
        return TargetError::Passing(told(
            "a node is down, drained or paused: see `docker node ls`; it goes on as soon as one takes tasks",
        ));
    }
    TargetError::Failed(match () {
        () if said.contains("unsupported platform") => {
            told("its image is built for another architecture than the nodes have; build it for theirs too")
        }
        () if said.contains("constraints") => told(
            "no node has what `deploy.placement.constraints` asks for; label a node, or change the constraints",
        ),
        () if said.contains("max replicas per node") => told("raise `max_replicas_per_node`, or add nodes"),
        () => told("see `docker node ls` and the service's `deploy.placement`"),
    })
}

/// A failure with what its task left: exit code, memory, health check, the last lines of its log.
pub(super) async fn told(
    api: &Api,
    nodes: &[NodeFacts],
    service: &str,
    failure: &Failure,
    tasks: &[TaskFacts],
) -> TargetError {
    let task = failure.task.as_ref().and_then(|id| tasks.iter().find(|task| task.id == *id));
    let Some(task) = task else { return TargetError::Failed(format!("{service} {}", failure.why)) };
    if unpulled(task) {
        // The registry had it a moment ago: neither the version nor the files are to blame.
        return TargetError::Passing(format!("{service} {}; {}", failure.why, rejection(nodes, task)));
    }
    let node = node_of(nodes, task);
    let head = format!("{service} {}; on {node} ", failure.why);
    if task.state == TaskState::REJECTED {
        return TargetError::Failed(head + &rejected(task));
    }
    // Only this node's engine tells more of a container.
    let facts = match &task.container {
        Some(id) => api.container(id).await.ok().flatten(),
        None => None,
    };
    let log = api.task_log(&task.id, LINES).await;
    let log = match log.is_empty() {
        true => "its log is empty".to_owned(),
        false => format!("the last lines of its log:\n{}", log.join("\n")),
    };
    TargetError::Failed(format!("{head}{}; {log}", ended(task, facts.as_ref())))
}

/// A node did not take it because it could not bring the image.
pub(super) fn unpulled(task: &TaskFacts) -> bool {
    let said = task.error.to_lowercase();
    task.state == TaskState::REJECTED
        && ["no such image", "pull", "manifest unknown"].iter().any(|sign| said.contains(sign))
}

/// Which node could not bring an image, and what it says.
pub(super) fn rejection(nodes: &[NodeFacts], task: &TaskFacts) -> String {
    let (node, said, image) = (node_of(nodes, task), &task.error, &task.image);
    format!(
        "the node {node} could not pull {image}: {said}; look whether {node} reaches that registry, and is let in there"
    )
}

fn node_of<'a>(nodes: &'a [NodeFacts], task: &TaskFacts) -> &'a str {
    let id = task.node.as_deref().unwrap_or_default();
    nodes.iter().find(|node| node.id == id).map_or("its node", |node| node.name.as_str())
}

/// Why a node did not take a task.
fn rejected(task: &TaskFacts) -> String {
    let said = &task.error;
    if said.to_lowercase().contains("bind source path does not exist") {
        return format!(
            "it could not be made: {said}; a folder of the manager is not on the other nodes: use `configs`, or bind \
             the service to the manager with a placement constraint"
        );
    }
    format!("it could not be made: {said}")
}

/// How a task ended.
fn ended(task: &TaskFacts, facts: Option<&Facts>) -> String {
    let lower = task.error.to_lowercase();
    if lower.contains("exec format error") {
        return "it does not start: its image is built for another architecture (exec format error)"
            .to_owned();
    }
    let sick = facts.is_some_and(|facts| facts.health == Some(HealthStatusEnum::UNHEALTHY));
    if sick || lower.contains("unhealthy") {
        let output = facts.map(|facts| facts.health_output.clone()).filter(|output| !output.is_empty());
        return match output {
            Some(output) => format!("it is unhealthy, its check says: {output}"),
            None => "it is unhealthy".to_owned(),
        };
    }
    let memory = match (facts.map(|facts| facts.oom_killed), task.exit_code) {
        (Some(true), _) => ", out of memory (its limit is too low, or it leaks)",
        (None, Some(137)) => ", killed, perhaps because it was out of memory",
        _ => "",
    };
    match task.exit_code.filter(|code| *code != 0) {
        Some(code) => format!("it ended with code {code}{memory}"),
        None if task.error.is_empty() => "it does not run".to_owned(),
        None => format!("it ended: {}{memory}", task.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_cannot_pull_is_named_with_what_it_says() {
        let task = super::super::judge::rejected_task("No such image: reg/web:1");
        let nodes = [NodeFacts { id: "n2".into(), name: "web2".into(), ..NodeFacts::default() }];
        assert!(unpulled(&task));
        let told = rejection(&nodes, &task);
        assert!(told.contains("node web2") && told.contains("No such image"), "{told}");
        assert!(!unpulled(&TaskFacts { error: "bind source path does not exist".into(), ..task }));
    }

    #[test]
    fn what_the_scheduler_says_is_told_with_advice_and_its_kind() {
        let full = stuck("web", "no suitable node (insufficient resources on 3 nodes)");
        assert!(matches!(full, TargetError::Blocked(told) if told.contains("reservations")));
        let label = stuck("web", "no suitable node (scheduling constraints not satisfied on 1 node)");
        assert!(matches!(label, TargetError::Failed(told) if told.contains("label a node")));
        let other = stuck("web", "no suitable node (unsupported platform on 1 node)");
        assert!(matches!(other, TargetError::Failed(told) if told.contains("architecture")));
    }
}
