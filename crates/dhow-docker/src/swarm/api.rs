//! What a manager reports of a stack. Nothing here changes anything, but the removal of old configs and secrets.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{
    EndpointPortConfig, EndpointPortConfigPublishModeEnum, NodeSpecAvailabilityEnum, NodeState, Service,
    ServiceSpec, ServiceUpdateStatusStateEnum, Task, TaskSpec, TaskSpecPlacement,
    TaskSpecRestartPolicyConditionEnum, TaskState,
};
use bollard::query_parameters as query;
use dhow_core::noun::Digest;
use dhow_core::port::TargetError;
use futures::StreamExt as _;
use serde_json::Value;

use super::model::hash;
use crate::engine::api::Api;
use crate::engine::error;

/// Of `docker stack deploy`'s labels.
const STACK: &str = "com.docker.stack.namespace";
/// How long Swarm watches a task where nothing else is said.
const MONITOR: Duration = Duration::from_secs(5);
/// How long a node may take to hand out a log.
const LOG: Duration = Duration::from_secs(5);

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    pub target: u16,
    pub published: u16,
    pub host: bool,
    pub tcp: bool,
}

/// How many tasks a service is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Replicated(usize),
    /// One on every node that fits.
    Global,
    /// Runs until so many have ended well.
    Job(usize),
    /// Ends well once on every node that fits.
    GlobalJob,
}

/// A service as the manager reports it.
#[derive(Debug, Clone)]
pub(super) struct ServiceFacts {
    pub id: String,
    /// Without the stack's name.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub spec: ServiceSpec,
    /// Hash of all of it.
    pub spec_hash: String,
    pub image: String,
    pub mode: Mode,
    /// Hash of what its tasks are made of.
    pub tasks_of: String,
    /// Hash of where they may run.
    pub placed: String,
    /// The nodes that they may run on.
    pub constraints: Vec<String>,
    /// Hash of how it is reached: tasks are made anew where that changes, and do not tell which they were made for.
    pub endpoint: String,
    pub update: Option<ServiceUpdateStatusStateEnum>,
    pub update_message: String,
    /// How long Swarm watches each task of an update.
    pub monitor: Duration,
    pub ports: Vec<Port>,
    /// After how many failures of a task there is no other; none: there always is.
    pub attempts: Option<usize>,
    pub iteration: Option<u64>,
}

/// A task as the manager reports it.
#[derive(Debug, Clone)]
pub(super) struct TaskFacts {
    pub id: String,
    pub service_id: String,
    /// Its slot, or its node: where there is one task at a time.
    pub seat: String,
    pub node: Option<String>,
    pub state: TaskState,
    pub desired: TaskState,
    pub error: String,
    pub exit_code: Option<i64>,
    pub container: Option<String>,
    pub ports: Vec<Port>,
    pub image: String,
    /// Hash of what it is made of.
    pub made_of: String,
    /// Hash of where it may run.
    pub placed: String,
    pub iteration: Option<u64>,
    pub created: String,
}

/// A node of the swarm.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeFacts {
    pub id: String,
    pub name: String,
    pub address: String,
    pub ready: bool,
    /// It takes new tasks.
    pub active: bool,
    /// As images name it.
    pub architecture: String,
    /// As the machine names it.
    pub machine: String,
    pub os: String,
    pub role: String,
    pub labels: BTreeMap<String, String>,
    pub engine_labels: BTreeMap<String, String>,
}

/// A config or secret of a stack.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub id: String,
    pub name: String,
    /// Of its content; secrets do not tell it.
    pub digest: Option<Digest>,
}

impl Api {
    /// The services of a stack, and all tasks that the swarm remembers of it.
    ///
    /// # Errors
    /// `Blocked`: the node is no manager.
    pub(super) async fn stack(&self, name: &str) -> Result<(Vec<ServiceFacts>, Vec<TaskFacts>), TargetError> {
        let options = query::ListServicesOptions { filters: Some(of_stack(name)), status: None };
        let services = self.docker().list_services(Some(options)).await.map_err(|error| refused(&error))?;
        let mut services: Vec<ServiceFacts> =
            services.into_iter().filter_map(|service| facts(service, name)).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let tasks = self.tasks(name).await?;
        Ok((services, tasks))
    }

    /// The tasks of a stack, those of services that are gone included.
    pub(super) async fn tasks(&self, name: &str) -> Result<Vec<TaskFacts>, TargetError> {
        let options = query::ListTasksOptions { filters: Some(of_stack(name)) };
        let tasks = self.docker().list_tasks(Some(options)).await.map_err(|error| refused(&error))?;
        let mut tasks: Vec<TaskFacts> = tasks.into_iter().filter_map(task).collect();
        tasks.sort_by(|a, b| a.created.cmp(&b.created));
        Ok(tasks)
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeFacts>, TargetError> {
        let nodes = self.docker().list_nodes(None::<query::ListNodesOptions>).await;
        let nodes = nodes.map_err(|error| refused(&error))?.into_iter().map(|node| {
            let description = node.description.unwrap_or_default();
            let status = node.status.unwrap_or_default();
            let platform = description.platform.unwrap_or_default();
            let machine = platform.architecture.unwrap_or_default();
            let spec = node.spec.unwrap_or_default();
            let labels =
                |labels: Option<HashMap<String, String>>| labels.unwrap_or_default().into_iter().collect();
            NodeFacts {
                id: node.id.unwrap_or_default(),
                name: description.hostname.unwrap_or_default(),
                address: status.addr.unwrap_or_default(),
                ready: status.state == Some(NodeState::READY),
                active: spec.availability == Some(NodeSpecAvailabilityEnum::ACTIVE),
                architecture: architecture(&machine),
                machine,
                os: platform.os.unwrap_or_default(),
                role: spec.role.map(|role| role.to_string()).unwrap_or_default(),
                labels: labels(spec.labels),
                engine_labels: labels(description.engine.and_then(|engine| engine.labels)),
            }
        });
        Ok(nodes.collect())
    }

    /// The id of this node.
    pub(super) async fn own_node(&self) -> Result<String, TargetError> {
        let info = self.docker().info().await.map_err(|error| refused(&error))?;
        Ok(info.swarm.and_then(|swarm| swarm.node_id).unwrap_or_default())
    }

    pub(super) async fn configs(&self, stack: &str) -> Result<Vec<Thing>, TargetError> {
        let options = query::ListConfigsOptions { filters: Some(of_stack(stack)) };
        let found = self.docker().list_configs(Some(options)).await.map_err(|error| refused(&error))?;
        let things = found.into_iter().filter_map(|config| {
            let spec = config.spec?;
            let data = spec.data.and_then(|data| decoded(&data));
            let digest = data.map(|data| Digest::of(&data));
            Some(Thing { id: config.id?, name: spec.name?, digest })
        });
        Ok(things.collect())
    }

    pub(super) async fn secrets(&self, stack: &str) -> Result<Vec<Thing>, TargetError> {
        let options = query::ListSecretsOptions { filters: Some(of_stack(stack)) };
        let found = self.docker().list_secrets(Some(options)).await.map_err(|error| refused(&error))?;
        let things = found
            .into_iter()
            .filter_map(|secret| Some(Thing { id: secret.id?, name: secret.spec?.name?, digest: None }));
        Ok(things.collect())
    }

    /// The names of the networks of a stack.
    pub(super) async fn stack_networks(&self, stack: &str) -> Result<Vec<String>, TargetError> {
        let options = query::ListNetworksOptions { filters: Some(of_stack(stack)) };
        let found = self.docker().list_networks(Some(options)).await.map_err(|error| refused(&error))?;
        Ok(found.into_iter().filter_map(|network| network.name).collect())
    }

    /// The architectures that an image is built for, as the registry has it; empty where it does not tell.
    pub(super) async fn built_for(
        &self,
        image: &str,
        login: Option<DockerCredentials>,
    ) -> Result<Vec<String>, Error> {
        let found = self.docker().inspect_registry_image(image, login).await?;
        let known = found.platforms.into_iter().filter_map(|platform| platform.architecture);
        Ok(known.filter(|one| !one.is_empty() && one != "unknown").map(|one| architecture(&one)).collect())
    }

    /// The last lines of a task's log, from whichever node it ran on.
    pub(super) async fn task_log(&self, id: &str, lines: usize) -> Vec<String> {
        let options =
            query::LogsOptions { stdout: true, stderr: true, tail: lines.to_string(), ..Default::default() };
        let mut stream = std::pin::pin!(self.docker().task_logs(id, Some(options)));
        let mut text = String::new();
        let read = async {
            while let Some(Ok(chunk)) = stream.next().await {
                text.push_str(&String::from_utf8_lossy(&chunk.into_bytes()));
                if text.len() > 1 << 20 {
                    break;
                }
            }
        };
        // A node that is gone hands out nothing: what was read until then is told.
        let _late = tokio::time::timeout(LOG, read).await;
        text.lines().map(|line| line.chars().take(500).collect()).collect()
    }
}

/// What a manager, or a node that is none, said.
pub(super) fn refused(failure: &Error) -> TargetError {
    let text = failure.to_string();
    let lower = text.to_lowercase();
    if lower.contains("worker nodes can't be used") {
        return TargetError::Blocked(
            "this node is a worker of its swarm, and only a manager deploys stacks; name a manager under `servers:`, or \
             promote this node (`docker node promote NAME`, on a manager)"
                .to_owned(),
        );
    }
    if lower.contains("not a swarm manager") {
        return TargetError::Blocked(
            "this node is in no swarm, so there is nothing to deploy a stack to; run `docker swarm init` there, or name \
             a manager under `servers:`"
                .to_owned(),
        );
    }
    if lower.contains("needs to be unlocked") {
        return TargetError::Blocked(
            "the swarm is locked since the Docker Engine of this manager was started; run `docker swarm unlock` there"
                .to_owned(),
        );
    }
    if lower.contains("does not have a leader") {
        return TargetError::Passing(format!(
            "the swarm has no leader, most of its managers are away: {text}"
        ));
    }
    error::api(failure)
}

fn of_stack(name: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{STACK}={name}")])])
}

fn facts(service: Service, stack: &str) -> Option<ServiceFacts> {
    let spec = service.spec?;
    let template = spec.task_template.clone().unwrap_or_default();
    let container = template.container_spec.clone().unwrap_or_default();
    let name = spec.name.clone()?;
    let name = name.strip_prefix(stack).and_then(|rest| rest.strip_prefix('_')).unwrap_or(&name).to_owned();
    let update = service.update_status.unwrap_or_default();
    let ports = spec.endpoint_spec.clone().and_then(|endpoint| endpoint.ports).unwrap_or_default();
    let monitor = spec.update_config.as_ref().and_then(|config| config.monitor);
    let monitor = monitor.and_then(|monitor| u64::try_from(monitor).ok());
    let restart = template.restart_policy.clone().unwrap_or_default();
    let attempts = match restart.condition {
        Some(TaskSpecRestartPolicyConditionEnum::NONE) => Some(0),
        _ => restart.max_attempts.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0),
    };
    Some(ServiceFacts {
        id: service.id?,
        name,
        labels: spec.labels.clone().unwrap_or_default().into_iter().collect(),
        spec_hash: hash(&serde_json::to_value(&spec).unwrap_or_default()),
        image: container.image.unwrap_or_default(),
        mode: mode(&spec),
        tasks_of: made_of(&template),
        placed: placed(template.placement.as_ref()),
        constraints: template.placement.and_then(|placement| placement.constraints).unwrap_or_default(),
        endpoint: hash_of_set(&spec.endpoint_spec),
        update: update.state,
        update_message: update.message.unwrap_or_default(),
        monitor: monitor.map_or(MONITOR, Duration::from_nanos),
        ports: ports.into_iter().filter_map(port).collect(),
        attempts,
        iteration: service.job_status.and_then(|job| job.job_iteration?.index),
        spec,
    })
}

fn mode(spec: &ServiceSpec) -> Mode {
    let count = |number: Option<i64>| number.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let mode = spec.mode.clone().unwrap_or_default();
    if let Some(job) = mode.replicated_job {
        return Mode::Job(count(job.total_completions));
    }
    match (mode.global, mode.global_job) {
        (Some(_), _) => Mode::Global,
        (_, Some(_)) => Mode::GlobalJob,
        _ => Mode::Replicated(count(mode.replicated.and_then(|replicated| replicated.replicas))),
    }
}

fn task(task: Task) -> Option<TaskFacts> {
    let spec = task.spec?;
    let status = task.status.unwrap_or_default();
    let container = status.container_status.unwrap_or_default();
    let slot = task.slot.filter(|slot| *slot > 0).map(|slot| slot.to_string());
    let ports = status.port_status.and_then(|status| status.ports).unwrap_or_default();
    Some(TaskFacts {
        id: task.id?,
        service_id: task.service_id?,
        seat: slot.or_else(|| task.node_id.clone()).unwrap_or_default(),
        node: task.node_id.filter(|node| !node.is_empty()),
        state: status.state.unwrap_or(TaskState::NEW),
        desired: task.desired_state.unwrap_or(TaskState::RUNNING),
        error: status.err.unwrap_or_default(),
        exit_code: container.exit_code,
        container: container.container_id.filter(|id| !id.is_empty()),
        ports: ports.into_iter().filter_map(port).collect(),
        made_of: made_of(&spec),
        placed: placed(spec.placement.as_ref()),
        image: spec.container_spec.and_then(|container| container.image).unwrap_or_default(),
        iteration: task.job_iteration.and_then(|iteration| iteration.index),
        created: task.created_at.unwrap_or_default(),
    })
}

fn port(port: EndpointPortConfig) -> Option<Port> {
    Some(Port {
        target: u16::try_from(port.target_port?).ok()?,
        // None: Swarm picks one.
        published: u16::try_from(port.published_port.unwrap_or_default()).ok()?,
        host: port.publish_mode == Some(EndpointPortConfigPublishModeEnum::HOST),
        tcp: port.protocol.is_none_or(|protocol| protocol.to_string() != "udp"),
    })
}

/// Where it may run is not part of what a task is made of: Swarm leaves a task alone that still fits.
fn made_of(spec: &TaskSpec) -> String {
    // Only services report the runtime.
    hash_of_set(&TaskSpec { placement: None, runtime: None, ..spec.clone() })
}

fn placed(placement: Option<&TaskSpecPlacement>) -> String {
    hash_of_set(&placement)
}

/// A hash of what is set.
fn hash_of_set(part: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(part).unwrap_or_default();
    without_empty(&mut value);
    hash(&value)
}

/// Services and tasks differ in whether they report what is not set.
fn without_empty(value: &mut Value) {
    let Some(object) = value.as_object_mut() else { return };
    object.values_mut().for_each(without_empty);
    object.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(object) => !object.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    });
}

fn decoded(data: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(data).ok()
}

/// As images name it.
fn architecture(name: &str) -> String {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i386" | "i686" => "386",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_no_manager_is_told_with_what_to_do() {
        let said =
            |message: &str| Error::DockerResponseServerError { status_code: 503, message: message.into() };
        let cases = [
            (
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect",
                "docker swarm init",
            ),
            (
                "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.",
                "name a manager",
            ),
            ("Swarm is encrypted and needs to be unlocked before it can be used.", "docker swarm unlock"),
        ];
        for (message, advice) in cases {
            let TargetError::Blocked(told) = refused(&said(message)) else { panic!("{message}") };
            assert!(told.contains(advice), "{told}");
        }
        let away = refused(&said(
            "The swarm does not have a leader. It's possible that too few managers are online.",
        ));
        assert!(matches!(away, TargetError::Passing(_)));
    }
}
