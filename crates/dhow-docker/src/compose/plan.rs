use dhow_core::fleet::{DesiredHash, Route};
use dhow_core::port::{Observed, Phase, Place, Rendered, Step};

use super::body::{Action, Beside, Body, Change, Current, Seen, ServiceSeen, value};
use super::route::service_of;
use super::send::spelled;
use super::strategy::{Strategy, strategy};

/// The steps to this release; none where everything runs as wanted. A body that cannot be read gives a step that says
/// so when it is executed.
pub(super) fn plan(rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
    let seen = Seen::of(observed);
    let step = |name: &str, phase, summary: String, action: Action| {
        new_step((hash, place), name, phase, summary, action)
    };
    let Ok(body) = Body::of(rendered) else {
        return vec![step("files", Phase::Preparing, "read the release".into(), Action::Prune)];
    };
    let change = Change {
        release: format!("{hash}-{}", spelled(&seen.override_file)),
        present: seen.services.values().any(|service| !service.containers.is_empty())
            || !seen.orphans.is_empty(),
        before: seen.before.clone(),
        current: seen.current.clone(),
        replaces: replaces(&seen),
    };
    let files = files(&seen);
    let send = step("files", Phase::Preparing, format!("send the files of release {}", hash.short()), files);
    let pruned = match &seen.nearly_full {
        Some(why) => format!("remove old releases and their images, all but the one before: {why}"),
        None => "remove old releases and their images".to_owned(),
    };
    let prune = step("prune", Phase::Finishing, pruned, Action::Prune);
    if seen.services.values().all(ServiceSeen::satisfied) && !seen.services.is_empty() {
        return without_new(&seen, &body, change, (hash, place), (send, prune));
    }
    let mut steps = vec![send, step("pull", Phase::Preparing, pulled(&seen), pull(&seen))];
    let told = told(&seen, "recreate");
    let stable = step("stable", Phase::Verifying, "see that it stays up".into(), Action::Stable);
    match strategy(&body, &seen) {
        Strategy::Beside(mut beside) => {
            beside.release.clone_from(&change.release);
            let services: Vec<String> = beside.replicas.keys().cloned().collect();
            let names = services.join(", ");
            let because = "it has a route, and neither a fixed port nor a volume stands in the way";
            let start = format!("start {names} beside what runs; {told}; strategy beside: {because}");
            let note = seen.proxy_note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            steps.push(step("beside", Phase::Preparing, start, Action::Beside(beside.clone())));
            let old = old(&seen);
            let route = Action::Route { change, beside };
            let told = format!("route requests to the new {names}{note}");
            steps.push(step("switch", Phase::Switching, told, route));
            steps.push(stable);
            let drain = Action::Drain { old, services, route: routed(&seen).cloned() };
            steps.push(step("drain", Phase::Finishing, format!("drain and stop the old {names}"), drain));
        }
        Strategy::Refused { because } => {
            let told = format!(
                "refuse it: its dhow.yaml asks for strategy beside, and that cannot be: {because}; mend that, or take \
                 `strategy: beside` out"
            );
            return vec![step("refuse", Phase::Preparing, told.clone(), Action::Refuse { because: told })];
        }
        Strategy::Recreate { because } => {
            steps.push(step(
                "switch",
                Phase::Switching,
                recreated(&seen, told, &because),
                Action::Recreate(change),
            ));
            steps.push(stable);
        }
    }
    steps.push(prune);
    steps
}

fn new_step(
    (hash, place): (&DesiredHash, &Place),
    name: &str,
    phase: Phase,
    summary: String,
    action: Action,
) -> Step {
    let key = format!("{}:{name}", hash.short());
    Step { key, phase, place: place.clone(), summary, action: value(&action) }
}

/// Everything runs as wanted: nothing is started. What is too many goes, the route follows its settings, and the release
/// is noted.
fn without_new(
    seen: &Seen,
    body: &Body,
    change: Change,
    at: (&DesiredHash, &Place),
    (send, prune): (Step, Step),
) -> Vec<Step> {
    let noted = |current: &Current| current.hash.is_none_or(|noted| noted == *at.0);
    let noted = seen.current.as_ref().is_none_or(noted);
    let old = old(seen);
    let past = past(seen, body, &change, &old);
    let services = past.iter().flat_map(|_| seen.services.keys().cloned()).collect();
    let (name, told_of, action, rerouted) = match (past, &seen.reroute) {
        (Some(past), _) => ("switch", PAST.to_owned(), past, true),
        (None, Some(told)) => ("route", told.clone(), Action::Reroute { change }, true),
        (None, None) => {
            ("record", "note the release; no container changes".to_owned(), Action::Record { change }, false)
        }
    };
    let switch = new_step(at, name, Phase::Switching, told_of, action);
    let drain = Action::Drain { old, services, route: routed(seen).cloned() };
    match (seen.fits(), noted) {
        (true, true) if !rerouted => Vec::new(),
        (true, _) => vec![send, switch, prune],
        (false, _) => {
            vec![send, switch, new_step(at, "drain", Phase::Finishing, told(seen, "stop"), drain), prune]
        }
    }
}

/// The route that the proxy was given.
fn routed(seen: &Seen) -> Option<&Route> {
    seen.current.as_ref().and_then(|current| current.route.as_ref())
}

/// A container to which the route leads now goes, or another takes its place.
fn replaces(seen: &Seen) -> bool {
    let Some(route) = routed(seen) else { return false };
    let names = seen.services.keys().chain(seen.orphans.keys());
    let Some(name) = service_of(route, names) else { return false };
    let changed = |service: &ServiceSeen| service.containers.iter().any(|container| !container.matches);
    seen.orphans.contains_key(&name) || seen.services.get(&name).is_some_and(changed)
}

fn pull(seen: &Seen) -> Action {
    let platforms = seen.services.values().map(|service| (service.image.clone(), service.platform.clone()));
    Action::Pull { platforms: platforms.collect(), in_the_way: seen.in_the_way().is_some() }
}

fn pulled(seen: &Seen) -> String {
    if seen.missing_images.is_empty() {
        return "look whether the images can run there".to_owned();
    }
    let room = seen.no_room.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
    format!("pull {}{room}", seen.missing_images.join(", "))
}

/// What changes with a gap, and why there is one; nothing of it where nothing that runs is replaced.
fn recreated(seen: &Seen, told: String, because: &str) -> String {
    if because.is_empty() {
        return told;
    }
    let last = seen.current.as_ref().and_then(|current| current.gap_ms);
    let last = last.map(|gap| format!(" (the last one: {gap} ms)")).unwrap_or_default();
    format!("{told}; strategy recreate, with a gap{last} and without a check before it: {because}")
}

/// What changes, per service: `recreate web (image 1.0 becomes 1.1), create worker, remove cron`.
fn told(seen: &Seen, verb: &str) -> String {
    let mut parts = Vec::new();
    for (name, service) in &seen.services {
        if service.satisfied() {
            continue;
        }
        let reasons = service.reasons.join(", ");
        parts.push(match (service.containers.is_empty(), reasons.is_empty()) {
            (true, _) => format!("create {name}"),
            (false, true) => format!("start {name}"),
            (false, false) => format!("{verb} {name} ({reasons})"),
        });
    }
    parts.extend(seen.orphans.keys().map(|name| format!("remove {name}")));
    parts.extend(seen.create.iter().map(|thing| format!("create {thing}")));
    if parts.is_empty() {
        parts.push("stop containers that are too many".to_owned());
    }
    parts.join(", ")
}

/// What the plan says of it.
const PAST: &str = "route requests past the containers that are too many";

/// What is too many gets no request any more before it is stopped.
fn past(seen: &Seen, body: &Body, change: &Change, old: &[String]) -> Option<Action> {
    let routed = seen.routed && body.route.is_some() && !old.is_empty();
    let beside = Beside { release: change.release.clone(), old: old.to_vec(), ..Beside::default() };
    routed.then(|| Action::Route { change: change.clone(), beside })
}

fn old(seen: &Seen) -> Vec<String> {
    let surplus = seen.services.values().flat_map(ServiceSeen::surplus);
    surplus.chain(seen.orphans.values().flatten()).map(|container| container.id.clone()).collect()
}

fn files(seen: &Seen) -> Action {
    Action::Files {
        override_file: seen.override_file.clone(),
        content: seen.content.clone(),
        data: seen.data.clone(),
    }
}
