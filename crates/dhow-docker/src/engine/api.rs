//! The Engine API: it observes, and never changes anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters as query;
use dhow_core::port::TargetError;
use futures::StreamExt as _;
use futures::future::try_join_all;

use super::error;

/// Seconds that a question may take.
const LIMIT: u64 = 60;
/// Of Compose's labels.
const PROJECT: &str = "com.docker.compose.project";

/// A connection to an engine, in a version that both sides speak.
pub(crate) struct Api {
    docker: Docker,
}

/// A container as the engine reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub id: String,
    pub name: String,
    pub service: String,
    pub config_hash: String,
    /// The image as it was named.
    pub image: String,
    pub image_id: String,
    pub running: bool,
    pub restarting: bool,
    pub exited: bool,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub error: String,
    pub health: Option<HealthStatusEnum>,
    pub health_output: String,
    pub restarts: i64,
    pub started_at: String,
    pub created: String,
    /// Where something is mounted, and from where (the name of a volume).
    pub mounts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub addresses: Vec<IpAddr>,
    /// Its address in each network.
    pub networks: BTreeMap<String, IpAddr>,
    /// Its first process.
    pub pid: Option<u32>,
    /// Ports, `tcp`, that its image or its files expose.
    pub exposed: Vec<u16>,
    /// Ports published on the host, `tcp`, by port of the container.
    pub published: BTreeMap<u16, (String, u16)>,
}

/// An image as the engine reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ImageFacts {
    pub id: String,
    pub digests: Vec<String>,
    pub architecture: String,
    pub os: String,
}

/// A network as the engine reports it.
#[derive(Debug, Clone)]
pub(crate) struct NetworkFacts {
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    /// Ids of the running containers in it.
    pub containers: BTreeSet<String>,
}

/// A port of the host that a running container holds.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub name: String,
    pub project: Option<String>,
    pub port: u16,
    pub protocol: String,
    pub address: String,
}

impl Api {
    /// # Errors
    /// The engine does not answer, or speaks no version that we speak.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, TargetError> {
        let path = socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&path, LIMIT, bollard::API_DEFAULT_VERSION)
            .map_err(|error| error::api(&error))?;
        let docker = docker.negotiate_version().await.map_err(|error| error::api(&error))?;
        Ok(Self { docker })
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Every container of a project, but those of `docker compose run`.
    pub(crate) async fn containers(&self, project: &str) -> Result<Vec<Facts>, TargetError> {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{PROJECT}={project}")])]);
        let options =
            query::ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let all = self.docker.list_containers(Some(options)).await.map_err(|error| error::api(&error))?;
        let ids: Vec<String> = all.into_iter().filter_map(|summary| summary.id).collect();
        let found = try_join_all(ids.iter().map(|id| self.container(id))).await?;
        let mut found: Vec<Facts> = found.into_iter().flatten().collect();
        found.retain(|facts| facts.labels.get("com.docker.compose.oneoff").is_none_or(|one| one != "True"));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// One container; `None` where there is none any more.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<Facts>, TargetError> {
        match self.docker.inspect_container(id, None::<query::InspectContainerOptions>).await {
            Ok(found) => Ok(Some(facts(found))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error::api(&error)),
        }
    }

    /// An image by name, digest or id; `None` where the engine does not have it.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<ImageFacts>, TargetError> {
        match self.docker.inspect_image(name).await {
            Ok(found) => Ok(Some(ImageFacts {
                id: found.id.unwrap_or_default(),
                digests: found.repo_digests.unwrap_or_default(),
                architecture: found.architecture.unwrap_or_default(),
                os: found.os.unwrap_or_default(),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error::api(&error)),
        }
    }

    /// The engine's own architecture, as images name it.
    pub(crate) async fn architecture(&self) -> Result<String, TargetError> {
        let version = self.docker.version().await.map_err(|error| error::api(&error))?;
        Ok(version.arch.unwrap_or_default())
    }

    /// The names of all volumes, and of all networks.
    pub(crate) async fn volumes_and_networks(
        &self,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), TargetError> {
        let volumes = self.docker.list_volumes(None::<query::ListVolumesOptions>).await;
        let volumes = volumes.map_err(|error| error::api(&error))?.volumes.unwrap_or_default();
        let networks = self.docker.list_networks(None::<query::ListNetworksOptions>).await;
        let networks = networks.map_err(|error| error::api(&error))?;
        let volumes = volumes.into_iter().map(|volume| volume.name).collect();
        Ok((volumes, networks.into_iter().filter_map(|network| network.name).collect()))
    }

    /// A network; `None` where there is none of this name.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<NetworkFacts>, TargetError> {
        let found = self.docker.inspect_network(name, None::<query::InspectNetworkOptions>).await;
        let found = match found {
            Ok(found) => found,
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(failure) => return Err(error::api(&failure)),
        };
        Ok(Some(NetworkFacts {
            internal: found.internal == Some(true),
            labels: found.labels.unwrap_or_default().into_iter().collect(),
            containers: found.containers.unwrap_or_default().into_keys().collect(),
        }))
    }

    /// The names of the networks with a label of this value.
    pub(crate) async fn networks_labelled(&self, label: &str) -> Result<Vec<String>, TargetError> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = query::ListNetworksOptions { filters: Some(filters) };
        let networks = self.docker.list_networks(Some(options)).await.map_err(|error| error::api(&error))?;
        Ok(networks.into_iter().filter_map(|network| network.name).collect())
    }

    /// The ports of the host that running containers hold.
    pub(crate) async fn holders(&self) -> Result<Vec<Holder>, TargetError> {
        let all = self.docker.list_containers(None::<query::ListContainersOptions>).await;
        let mut found = Vec::new();
        for summary in all.map_err(|error| error::api(&error))? {
            let name = summary.names.unwrap_or_default().pop().unwrap_or_default();
            let project = summary.labels.unwrap_or_default().remove(PROJECT);
            for port in summary.ports.unwrap_or_default() {
                let Some(public) = port.public_port else { continue };
                found.push(Holder {
                    name: name.trim_start_matches('/').to_owned(),
                    project: project.clone(),
                    port: public,
                    protocol: port.typ.map(|t| t.to_string()).unwrap_or_default(),
                    address: port.ip.unwrap_or_default(),
                });
            }
        }
        Ok(found)
    }

    /// The last lines of a container's log.
    pub(crate) async fn log(&self, id: &str, lines: usize) -> Vec<String> {
        let options =
            query::LogsOptions { stdout: true, stderr: true, tail: lines.to_string(), ..Default::default() };
        let mut stream = self.docker.logs(id, Some(options));
        let mut text = String::new();
        while let Some(Ok(chunk)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk.into_bytes()));
            if text.len() > 1 << 20 {
                break;
            }
        }
        text.lines().map(|line| line.chars().take(500).collect()).collect()
    }
}

fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}

fn facts(found: ContainerInspectResponse) -> Facts {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
    let label = |name: &str| labels.get(&format!("com.docker.compose.{name}")).cloned().unwrap_or_default();
    let mounts = found.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
        Some((mount.destination?, mount.name.filter(|name| !name.is_empty()).or(mount.source)?))
    });
    let network = found.network_settings.unwrap_or_default();
    let networks = network.networks.unwrap_or_default().into_iter();
    let networks: BTreeMap<String, IpAddr> =
        networks.filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?))).collect();
    let exposed = config.exposed_ports.unwrap_or_default();
    let published = network.ports.unwrap_or_default().into_iter().filter_map(|(port, bindings)| {
        let port = port.strip_suffix("/tcp")?.parse().ok()?;
        let binding = bindings?.into_iter().next()?;
        Some((port, (binding.host_ip.unwrap_or_default(), binding.host_port?.parse().ok()?)))
    });
    let health = state.health.unwrap_or_default();
    let last = health.log.unwrap_or_default().pop().and_then(|result| result.output).unwrap_or_default();
    Facts {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        service: label("service"),
        config_hash: label("config-hash"),
        image: config.image.unwrap_or_default(),
        image_id: found.image.unwrap_or_default(),
        running: state.running == Some(true) && state.restarting != Some(true),
        restarting: state.restarting == Some(true),
        exited: matches!(state.status, Some(ContainerStateStatusEnum::EXITED)),
        exit_code: state.exit_code,
        oom_killed: state.oom_killed == Some(true),
        error: state.error.unwrap_or_default(),
        health: health.status.filter(|s| !matches!(s, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY)),
        health_output: last.trim().chars().take(1_000).collect(),
        restarts: found.restart_count.unwrap_or_default(),
        started_at: state.started_at.unwrap_or_default(),
        created: found.created.map(|created| created.to_string()).unwrap_or_default(),
        mounts: mounts.collect(),
        addresses: networks.values().copied().collect(),
        networks,
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        exposed: exposed.iter().filter_map(|port| port.strip_suffix("/tcp")?.parse().ok()).collect(),
        published: published.collect(),
        labels,
    }
}
