//! How long nobody served: from the end of an old container to the start of the new one.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::query_parameters::EventsOptions;
use futures::StreamExt as _;

use super::api::Api;

/// What the engine told of a container: service, when in nanoseconds, and whether it started.
type Told = (String, i64, bool);

impl Api {
    /// The longest time since `begun` that a service of the project had no container; `None` where none ended, or the
    /// engine does not tell. Requests to the service `routed` are taken again only now, and were not since the time beside
    /// it.
    pub(super) async fn gap(
        &self,
        project: &str,
        begun: SystemTime,
        routed: Option<(&str, Option<SystemTime>)>,
    ) -> Option<Duration> {
        let seconds = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .map(|since| format!("{}.{:09}", since.as_secs(), since.subsec_nanos()))
        };
        let filters = HashMap::from([
            ("label".to_owned(), vec![format!("com.docker.compose.project={project}")]),
            ("event".to_owned(), vec!["start".to_owned(), "die".to_owned()]),
        ]);
        let options = EventsOptions {
            since: seconds(begun).ok(),
            until: seconds(SystemTime::now()).ok(),
            filters: Some(filters),
        };
        let mut events = self.docker().events(Some(options));
        let mut told = Vec::new();
        while let Some(Ok(event)) = events.next().await {
            let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
            let service = attributes.get("com.docker.compose.service").cloned();
            told.extend(
                service
                    .zip(event.time_nano)
                    .map(|(service, at)| (service, at, event.action.as_deref() == Some("start"))),
            );
        }
        if let Some((routed, away)) = routed {
            let nanos = |time: SystemTime| {
                let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                i64::try_from(nanos).unwrap_or(i64::MAX)
            };
            told.retain(|(service, _, started)| !(service == routed && *started));
            told.extend(away.map(|away| (routed.to_owned(), nanos(away), false)));
            told.push((routed.to_owned(), nanos(SystemTime::now()), true));
        }
        longest(told)
    }
}

fn longest(mut told: Vec<Told>) -> Option<Duration> {
    told.sort_by_key(|(_, at, _)| *at);
    let mut ended: BTreeMap<String, i64> = BTreeMap::new();
    let mut longest = None;
    for (service, at, started) in told {
        if !started {
            ended.entry(service).or_insert(at);
        } else if let Some(from) = ended.remove(&service) {
            longest = longest.max(u64::try_from(at - from).ok());
        }
    }
    longest.map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_time_between_an_end_and_the_next_start() {
        let told = |service: &str, at, started| (service.to_owned(), at, started);
        let all =
            vec![told("web", 5, false), told("web", 30, true), told("db", 6, false), told("db", 9, true)];
        assert_eq!(longest(all), Some(Duration::from_nanos(25)));
        assert_eq!(longest(vec![told("web", 5, true)]), None);
    }
}
