//! What runs at an engine, what it writes, and commands in it: the same for every type that runs containers.
//!
//! A [`Room`] sees the containers that carry one label and no others: what a person names is looked for among these.

mod exec;
mod follow;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod line;
mod processes;
mod usage;

use std::collections::{BTreeSet, HashMap};

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptions;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{ContainerName, Hearing, Inside, LogLines, Process, Tail, TargetError};

use crate::engine::error;

/// Most containers of a deployment that are looked at.
const MOST: usize = 500;

/// What the containers of a deployment carry.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    /// `com.docker.compose.project=stage_shop`
    pub label: String,
    /// The label that says which component it is.
    pub component: &'static str,
    /// What stands before the component's name in that label: a stack's name and `_`.
    pub prefix: String,
}

impl Marks {
    /// The containers of a Compose project.
    pub(crate) fn compose(project: &str) -> Self {
        Self {
            label: format!("com.docker.compose.project={project}"),
            component: "com.docker.compose.service",
            prefix: String::new(),
        }
    }
}

impl Marks {
    /// The containers of a stack.
    pub(crate) fn stack(stack: &str) -> Self {
        Self {
            label: format!("com.docker.stack.namespace={stack}"),
            component: "com.docker.swarm.service.name",
            prefix: format!("{stack}_"),
        }
    }
}

/// What runs in a room; nothing where there is none.
pub(crate) async fn processes(room: Option<Room>) -> Result<Vec<Process>, TargetError> {
    match room {
        Some(room) => room.processes().await,
        None => Ok(Vec::new()),
    }
}

/// What is written in a room; nothing where there is none.
pub(crate) async fn follow(room: Option<Room>, tail: &Tail) -> Result<LogLines, TargetError> {
    match room {
        Some(room) => room.follow(tail.clone()).await,
        None => Ok(Box::pin(futures::stream::empty())),
    }
}

/// Runs a command in a container of a room.
///
/// # Errors
/// `Failed` where there is none.
pub(crate) async fn exec(
    room: Option<Room>,
    deployment: &DeploymentId,
    inside: &Inside,
) -> Result<Hearing, TargetError> {
    match room {
        Some(room) => room.exec(inside).await,
        None => Err(TargetError::Failed(format!("{deployment} was never started there"))),
    }
}

/// The containers of one deployment at one engine.
#[derive(Clone)]
pub(crate) struct Room {
    docker: Docker,
    marks: Marks,
}

/// A container as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub id: String,
    pub name: String,
    pub component: String,
    pub running: bool,
}

impl Room {
    /// The containers with these marks. Nothing is asked yet.
    pub(crate) fn new(docker: Docker, marks: Marks) -> Self {
        Self { docker, marks }
    }

    /// All of them, sorted by name, but those of `docker compose run`.
    async fn containers(&self) -> Result<Vec<Seen>, TargetError> {
        let filters = HashMap::from([("label".to_owned(), vec![self.marks.label.clone()])]);
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let all = self.docker.list_containers(Some(options)).await.map_err(|error| error::api(&error))?;
        let mut found: Vec<Seen> = all.into_iter().filter_map(|one| seen(one, &self.marks)).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(MOST);
        Ok(found)
    }

    /// Those that are meant.
    ///
    /// # Errors
    /// `Failed`: a name is given that none of them has.
    async fn wanted(&self, name: Option<&ContainerName>) -> Result<Vec<Seen>, TargetError> {
        let all = self.containers().await?;
        let Some(name) = name else { return Ok(all) };
        let (wanted, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| name.names(&one.component, &one.name, &one.id));
        if wanted.is_empty() {
            return Err(TargetError::Failed(format!("{name} is no container here; {}", there(&others))));
        }
        Ok(wanted)
    }
}

/// What there is, for messages.
fn there(all: &[Seen]) -> String {
    let names: BTreeSet<&str> = all.iter().map(|one| one.component.as_str()).collect();
    if names.is_empty() {
        return "there is none at all: `dhow status` says what should run".to_owned();
    }
    format!("there are {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

fn seen(one: ContainerSummary, marks: &Marks) -> Option<Seen> {
    let labels = one.labels.unwrap_or_default();
    if labels.get("com.docker.compose.oneoff").is_some_and(|one| one == "True") {
        return None;
    }
    let name = one.names.unwrap_or_default().into_iter().min_by_key(String::len).unwrap_or_default();
    let component = labels.get(marks.component).map(String::as_str).unwrap_or_default();
    Some(Seen {
        id: one.id?,
        name: name.trim_start_matches('/').to_owned(),
        component: component.strip_prefix(marks.prefix.as_str()).unwrap_or(component).to_owned(),
        running: matches!(one.state, Some(ContainerSummaryStateEnum::RUNNING)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_without_what_its_stack_puts_before_it() {
        let marks = Marks { label: String::new(), component: "service", prefix: "stage_shop_".into() };
        let labels = HashMap::from([("service".to_owned(), "stage_shop_web".to_owned())]);
        let one = ContainerSummary {
            id: Some("1".into()),
            names: Some(vec!["/proxy/alias".into(), "/x".into()]),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let found = seen(one.clone(), &marks).unwrap();
        assert_eq!((found.component.as_str(), found.name.as_str()), ("web", "x"));
        let once = labels.into_iter().chain([("com.docker.compose.oneoff".into(), "True".into())]).collect();
        assert_eq!(seen(ContainerSummary { labels: Some(once), ..one }, &marks), None);
    }
}
