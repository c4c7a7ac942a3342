//! Drift: the engine tells when a container ends, is stopped or turns unhealthy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters::EventsOptions;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Executors, Place};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::api::Api;
use crate::compose::Options;

/// Before an engine that went away is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// Nudges that wait to be taken; more are the same nudges again.
const WAITING: usize = 1_024;

/// What an engine is asked to tell, and whose an event is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hear {
    /// Types of the things that something happens to.
    pub types: &'static [&'static str],
    /// What happens to them.
    pub events: &'static [&'static str],
    /// Whose an event is, by type and attributes.
    pub whose: fn(&str, &HashMap<String, String>) -> Whose,
}

/// Whose an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody's that we know.
    Nobody,
    /// That project's or stack's.
    Project(String),
    /// Of the one whose name, with `_`, begins this name.
    Within(String),
    /// Everybody's at the place.
    All,
}

type Followed = Arc<Mutex<BTreeMap<(Place, String), DeploymentId>>>;

/// Follows the engines of the places where something was observed.
pub(crate) struct Watch {
    executors: Arc<dyn Executors>,
    options: Options,
    hear: Hear,
    followed: Followed,
    tasks: Mutex<BTreeMap<Place, AbortOnDropHandle<()>>>,
    told: mpsc::Sender<DeploymentId>,
    heard: tokio::sync::Mutex<mpsc::Receiver<DeploymentId>>,
}

impl Watch {
    pub(crate) fn new(executors: Arc<dyn Executors>, options: Options, hear: Hear) -> Self {
        let (told, heard) = mpsc::channel(WAITING);
        let heard = tokio::sync::Mutex::new(heard);
        Self { executors, options, hear, followed: Followed::default(), tasks: Mutex::default(), told, heard }
    }

    /// Tells from now on when something happens to this project.
    pub(crate) async fn follow(&self, deployment: &DeploymentId, project: &str, place: Place) {
        let key = (place.clone(), project.to_owned());
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(key, deployment.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.entry(place.clone()).or_insert_with(|| {
            let task = follow(
                Arc::clone(&self.executors),
                (self.options.clone(), self.hear),
                place,
                Arc::clone(&self.followed),
                self.told.clone(),
            );
            AbortOnDropHandle::new(tokio::spawn(task))
        });
    }

    /// The next deployment that something happened to.
    pub(crate) async fn next(&self) -> DeploymentId {
        match self.heard.lock().await.recv().await {
            Some(deployment) => deployment,
            None => std::future::pending().await,
        }
    }
}

async fn follow(
    executors: Arc<dyn Executors>,
    (options, hear): (Options, Hear),
    place: Place,
    followed: Followed,
    told: mpsc::Sender<DeploymentId>,
) {
    let mut lost = false;
    loop {
        if let Some(api) = connect(executors.as_ref(), &options, &place).await {
            if lost {
                // Whatever happened while the engine was away.
                let all: Vec<DeploymentId> = {
                    let followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
                    followed.iter().filter(|((at, _), _)| *at == place).map(|(_, id)| id.clone()).collect()
                };
                for deployment in all {
                    let _full = told.try_send(deployment);
                }
            }
            listen(&api, hear, &place, &followed, &told).await;
        }
        lost = true;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect(executors: &dyn Executors, options: &Options, place: &Place) -> Option<Api> {
    let executor = executors.at(place).await.ok()?;
    let socket = executor.forward_socket(options.socket_at(&executor.place())).await.ok()?;
    Api::connect(&socket).await.ok()
}

async fn listen(
    api: &Api,
    hear: Hear,
    place: &Place,
    followed: &Followed,
    told: &mpsc::Sender<DeploymentId>,
) {
    let many = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let filters =
        HashMap::from([("type".to_owned(), many(hear.types)), ("event".to_owned(), many(hear.events))]);
    let mut events =
        api.docker().events(Some(EventsOptions { filters: Some(filters), ..Default::default() }));
    while let Some(Ok(event)) = events.next().await {
        if event.action.as_deref().is_some_and(|action| action.ends_with(": healthy")) {
            continue;
        }
        let kind = event.typ.map(|kind| kind.to_string()).unwrap_or_default();
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let whose = (hear.whose)(&kind, &attributes);
        let found: Vec<DeploymentId> = {
            let followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
            let here = followed.iter().filter(|((at, _), _)| at == place);
            here.filter(|((_, project), _)| whose.is(project)).map(|(_, id)| id.clone()).collect()
        };
        for deployment in found {
            let _full = told.try_send(deployment);
        }
    }
}

impl Whose {
    fn is(&self, project: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Project(name) => name == project,
            Self::Within(name) => name.strip_prefix(project).is_some_and(|rest| rest.starts_with('_')),
            Self::All => true,
        }
    }
}
