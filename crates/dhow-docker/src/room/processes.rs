//! `ps`: each container with what it uses.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStatsResponse, HealthStatusEnum};
use bollard::query_parameters::{InspectContainerOptions, StatsOptions};
use dhow_core::noun::{Digest, ImageReference};
use dhow_core::port::{Process, TargetError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Room, Seen, usage};
use crate::engine::error;

/// Containers that are measured at a time.
const WIDTH: usize = 16;
/// Time for one measurement: the engine takes two samples, a second apart.
const MEASURE: Duration = Duration::from_secs(5);
/// More memory than any machine has: what a control group says that has no limit.
const NO_LIMIT: u64 = 1 << 60;

impl Room {
    /// Every container with its state and what it uses. What ends meanwhile is left out, or has no figures.
    pub(crate) async fn processes(&self) -> Result<Vec<Process>, TargetError> {
        let found = stream::iter(self.containers().await?)
            .map(|seen| self.process(seen))
            .buffered(WIDTH)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn process(&self, seen: Seen) -> Result<Option<Process>, TargetError> {
        let inspect = self.docker.inspect_container(&seen.id, None::<InspectContainerOptions>);
        let (inspected, stats) = tokio::join!(inspect, self.measure(&seen));
        let inspected = match inspected {
            Ok(inspected) => inspected,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error::api(&error)),
        };
        let digest = self.digest(&inspected).await;
        Ok(Some(process(seen, inspected, digest, stats)))
    }

    /// What it uses; none where it does not run or the engine takes too long.
    async fn measure(&self, seen: &Seen) -> Option<ContainerStatsResponse> {
        if !seen.running {
            return None;
        }
        let options = StatsOptions { stream: false, one_shot: false };
        let mut stats = Box::pin(self.docker.stats(&seen.id, Some(options)));
        tokio::time::timeout(MEASURE, stats.next()).await.ok()??.ok()
    }

    /// The digest of its image: the one it was asked for by, else one that the engine knows it by.
    async fn digest(&self, inspected: &ContainerInspectResponse) -> Option<Digest> {
        let named = inspected.config.as_ref().and_then(|config| config.image.as_deref())?;
        let asked: Option<ImageReference> = named.parse().ok();
        if let Some(digest) = asked.as_ref().and_then(|asked| asked.digest) {
            return Some(digest);
        }
        let image = self.docker.inspect_image(inspected.image.as_deref()?).await.ok()?;
        let known: Vec<ImageReference> =
            image.repo_digests?.iter().filter_map(|text| text.parse().ok()).collect();
        let same = known.iter().find(|one| asked.as_ref().is_some_and(|a| a.repository == one.repository));
        same.or(known.first())?.digest
    }
}

fn process(
    seen: Seen,
    inspected: ContainerInspectResponse,
    digest: Option<Digest>,
    stats: Option<ContainerStatsResponse>,
) -> Process {
    let state = inspected.state.unwrap_or_default();
    let stats = stats.unwrap_or_default();
    let memory = stats.memory_stats.unwrap_or_default();
    let runs = state.running == Some(true);
    let health = state.health.as_ref().and_then(|health| health.status);
    let health = health.filter(|s| !matches!(s, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY));
    Process {
        image: inspected.config.and_then(|config| config.image).unwrap_or_default(),
        digest,
        since: since(&state, runs),
        exit_code: state.exit_code.filter(|_| !runs && begun(&state)),
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        health: health.map(|health| health.to_string()).filter(|_| runs),
        restarts: inspected.restart_count.and_then(|count| count.try_into().ok()).unwrap_or_default(),
        memory: usage::memory(&memory).filter(|_| runs),
        memory_limit: inspected
            .host_config
            .and_then(|host| host.memory)
            .and_then(|limit| u64::try_from(limit).ok())
            .filter(|limit| (1..NO_LIMIT).contains(limit)),
        cpu: stats
            .precpu_stats
            .zip(stats.cpu_stats)
            .and_then(|(before, now)| usage::cpu(&before, &now))
            .filter(|_| runs),
        id: seen.id,
        name: seen.name,
        component: seen.component,
    }
}

/// It ran at least once: the engine says the year 1 where it did not.
fn begun(state: &ContainerState) -> bool {
    state.started_at.as_deref().is_some_and(|at| !at.is_empty() && !at.starts_with("0001-"))
}

fn since(state: &ContainerState, runs: bool) -> Option<String> {
    let at = if runs { &state.started_at } else { &state.finished_at };
    at.clone().filter(|at| begun(state) && !at.is_empty() && !at.starts_with("0001-"))
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerStateStatusEnum;

    use super::*;

    fn one(state: ContainerState) -> Process {
        let seen = Seen { id: "1".into(), name: "n".into(), component: "web".into(), running: true };
        let inspected = ContainerInspectResponse { state: Some(state), ..Default::default() };
        process(seen, inspected, None, None)
    }

    #[test]
    fn since_when_it_is_so_is_the_start_of_what_runs_and_the_end_of_what_ended() {
        let running = ContainerState {
            status: Some(ContainerStateStatusEnum::RUNNING),
            running: Some(true),
            started_at: Some("2026-11-21T10:00:00Z".into()),
            finished_at: Some("2026-11-21T09:00:00Z".into()),
            exit_code: Some(0),
            ..Default::default()
        };
        let ended = ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            running: Some(false),
            finished_at: Some("2026-11-21T11:00:00Z".into()),
            exit_code: Some(3),
            ..running.clone()
        };
        let (running, ended) = (one(running), one(ended));
        assert_eq!((running.since.as_deref(), running.exit_code), (Some("2026-11-21T10:00:00Z"), None));
        assert_eq!((ended.since.as_deref(), ended.exit_code), (Some("2026-11-21T11:00:00Z"), Some(3)));
        assert_eq!((running.state.as_str(), ended.state.as_str()), ("running", "exited"));
    }

    #[test]
    fn what_never_ran_has_no_time_and_no_exit_code() {
        let never = ContainerState {
            status: Some(ContainerStateStatusEnum::CREATED),
            started_at: Some("0001-01-01T00:00:00Z".into()),
            finished_at: Some("0001-01-01T00:00:00Z".into()),
            exit_code: Some(0),
            ..Default::default()
        };
        let never = one(never);
        assert_eq!((never.since, never.exit_code), (None, None));
    }
}
