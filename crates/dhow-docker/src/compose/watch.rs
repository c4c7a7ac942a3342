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

use super::Options;
use super::api::Api;
use super::observe::Look;

/// What an engine is asked to tell.
const EVENTS: [&str; 6] = ["die", "destroy", "oom", "pause", "health_status", "start"];
/// Before an engine that went away is asked again.
const AGAIN: Duration = Duration::from_secs(2);
/// Nudges that wait to be taken; more are the same nudges again.
const WAITING: usize = 1_024;

type Followed = Arc<Mutex<BTreeMap<(Place, String), DeploymentId>>>;

/// Follows the engines of the places where something was observed.
pub(super) struct Watch {
    executors: Arc<dyn Executors>,
    options: Options,
    followed: Followed,
    tasks: Mutex<BTreeMap<Place, AbortOnDropHandle<()>>>,
    told: mpsc::Sender<DeploymentId>,
    heard: tokio::sync::Mutex<mpsc::Receiver<DeploymentId>>,
}

impl Watch {
    pub(super) fn new(executors: Arc<dyn Executors>, options: Options) -> Self {
        let (told, heard) = mpsc::channel(WAITING);
        let heard = tokio::sync::Mutex::new(heard);
        Self { executors, options, followed: Followed::default(), tasks: Mutex::default(), told, heard }
    }

    /// Tells from now on when something happens to this project.
    pub(super) async fn follow(&self, deployment: &DeploymentId, project: &str, look: &Look) {
        let place = look.site.place();
        let key = (place.clone(), project.to_owned());
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).insert(key, deployment.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.entry(place.clone()).or_insert_with(|| {
            let task = follow(
                Arc::clone(&self.executors),
                self.options.clone(),
                place,
                Arc::clone(&self.followed),
                self.told.clone(),
            );
            AbortOnDropHandle::new(tokio::spawn(task))
        });
    }

    /// The next deployment that something happened to.
    pub(super) async fn next(&self) -> DeploymentId {
        match self.heard.lock().await.recv().await {
            Some(deployment) => deployment,
            None => std::future::pending().await,
        }
    }
}

async fn follow(
    executors: Arc<dyn Executors>,
    options: Options,
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
            listen(&api, &place, &followed, &told).await;
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

async fn listen(api: &Api, place: &Place, followed: &Followed, told: &mpsc::Sender<DeploymentId>) {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), EVENTS.map(String::from).to_vec()),
    ]);
    let mut events =
        api.docker().events(Some(EventsOptions { filters: Some(filters), ..Default::default() }));
    while let Some(Ok(event)) = events.next().await {
        if event.action.as_deref().is_some_and(|action| action.ends_with(": healthy")) {
            continue;
        }
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let Some(project) = attributes.get("com.docker.compose.project") else { continue };
        let key = (place.clone(), project.clone());
        let deployment = followed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(deployment) = deployment {
            let _full = told.try_send(deployment);
        }
    }
}
