//! New beside old, or in its place: decided by rules, and said with the reason.

use std::collections::BTreeMap;

use dhow_core::fleet;

use super::body::{Beside, Body, Seen, ServiceSeen};

/// How a change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Strategy {
    /// New containers run beside the old ones until these are drained.
    Beside(Beside),
    /// A person asks for beside, and it cannot be.
    Refused {
        /// Why not.
        because: String,
    },
    /// Compose replaces the containers: there is a gap.
    Recreate {
        /// Why not beside; empty where nothing that runs is replaced.
        because: String,
    },
}

/// As a person asks for; else beside, where the rules allow it.
pub(super) fn strategy(body: &Body, seen: &Seen) -> Strategy {
    match (body.strategy, rules(body, seen)) {
        (Some(fleet::Strategy::Beside), Strategy::Recreate { because }) if !because.is_empty() => {
            Strategy::Refused { because }
        }
        (Some(fleet::Strategy::Recreate), Strategy::Beside(_)) => {
            Strategy::Recreate { because: "its dhow.yaml asks for it".into() }
        }
        (_, found) => found,
    }
}

/// Beside, where requests come through the proxy and every container that changes can run twice.
fn rules(body: &Body, seen: &Seen) -> Strategy {
    let recreate = |because: String| Strategy::Recreate { because };
    let changed: BTreeMap<&String, &ServiceSeen> =
        seen.services.iter().filter(|(_, service)| !service.satisfied()).collect();
    let old =
        |service: &ServiceSeen| service.containers.iter().any(|container| container.up && !container.matches);
    if !changed.values().any(|service| old(service)) {
        return recreate(String::new());
    }
    if body.route.is_none() {
        return recreate("it has no route, so requests do not come through the proxy".into());
    }
    if !seen.routed {
        return recreate("there is no proxy for its route".into());
    }
    let alone = changed.iter().filter(|(_, service)| !service.waited_for && old(service));
    let exclusive = alone.filter_map(|(name, service)| Some((name, service.exclusive.as_ref()?))).next();
    if let Some((name, why)) = exclusive {
        return recreate(format!("{name} cannot run twice: {why}"));
    }
    let mut beside = Beside::default();
    for (name, service) in &changed {
        beside.hashes.insert((*name).clone(), service.hash.clone());
        if service.waited_for {
            beside.first.push((*name).clone());
            continue;
        }
        let stays: Vec<String> =
            service.containers.iter().filter(|c| !c.matches).map(|container| container.id.clone()).collect();
        match stays.is_empty() && service.containers.is_empty() {
            true => beside.created.push((*name).clone()),
            false => drop(beside.replicas.insert((*name).clone(), service.replicas)),
        }
        beside.old.extend(stays);
    }
    Strategy::Beside(beside)
}

#[cfg(test)]
mod tests {
    use dhow_core::fleet::{Isolation, Route};

    use super::super::body::ContainerSeen;
    use super::*;

    fn body(routed: bool) -> Body {
        let route =
            Route { service: Some("web".into()), port: Some(80), host: "h".into(), ..Route::default() };
        Body {
            project: "p".into(),
            folder: String::new(),
            route: routed.then_some(route),
            compose_files: Vec::new(),
            inputs: BTreeMap::new(),
            content: BTreeMap::new(),
            moved_from: None,
            strategy: None,
            isolation: Isolation::Off,
        }
    }

    fn seen(exclusive: Option<&str>) -> Seen {
        let service = ServiceSeen {
            hash: "new".into(),
            replicas: 2,
            image: String::new(),
            parts: BTreeMap::new(),
            containers: ["a", "b"]
                .map(|id| ContainerSeen { id: id.into(), name: id.into(), matches: false, up: true })
                .to_vec(),
            reasons: Vec::new(),
            exclusive: exclusive.map(str::to_owned),
            one_shot: false,
            waited_for: false,
            platform: None,
            build: false,
        };
        Seen { services: BTreeMap::from([("web".to_owned(), service)]), routed: true, ..Seen::default() }
    }

    #[test]
    fn a_routed_service_that_can_run_twice_is_updated_beside() {
        let Strategy::Beside(beside) = strategy(&body(true), &seen(None)) else { panic!() };
        assert_eq!(beside.replicas["web"], 2);
        assert_eq!(beside.old, ["a", "b"]);
    }

    #[test]
    fn what_cannot_run_twice_is_recreated_with_the_reason() {
        let of = |body, seen| match strategy(&body, &seen) {
            Strategy::Recreate { because } => because,
            other => panic!("{other:?}"),
        };
        assert!(of(body(true), seen(Some("it has a port"))).contains("it has a port"));
        assert!(of(body(false), seen(None)).contains("no route"));
        let mut unrouted = seen(None);
        unrouted.routed = false;
        assert!(of(body(true), unrouted).contains("no proxy"));
    }

    #[test]
    fn what_a_person_asks_for_is_done_or_refused_with_the_reason() {
        let asks = |strategy| Body { strategy: Some(strategy), ..body(true) };
        let recreate = strategy(&asks(fleet::Strategy::Recreate), &seen(None));
        assert!(matches!(recreate, Strategy::Recreate { because } if because.contains("asks for it")));
        let beside = asks(fleet::Strategy::Beside);
        assert!(matches!(strategy(&beside, &seen(None)), Strategy::Beside(_)));
        let refused = strategy(&beside, &seen(Some("it has a port")));
        assert!(matches!(refused, Strategy::Refused { because } if because.contains("it has a port")));
        let mut first = seen(None);
        first.services.get_mut("web").unwrap().containers.clear();
        assert_eq!(
            strategy(&beside, &first),
            Strategy::Recreate { because: String::new() },
            "nothing to be beside of"
        );
    }
}
