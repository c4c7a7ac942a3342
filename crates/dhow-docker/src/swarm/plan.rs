use dhow_core::fleet::DesiredHash;
use dhow_core::port::{Observed, Phase, Place, Rendered, Step};

use super::body::{Action, Body, Change, Seen};
use crate::stored::value;

/// The steps to this release; none where the swarm has everything as wanted. A body that cannot be read gives a step
/// that says so when it is executed.
pub(super) fn plan(rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
    let seen = Seen::of(observed);
    let step = |name: &str, phase, summary: String, action: Action| Step {
        key: format!("{}:{name}", hash.short()),
        phase,
        place: place.clone(),
        summary,
        action: value(&action),
    };
    if Body::of(rendered).is_err() {
        return vec![step("files", Phase::Preparing, "read the release".into(), Action::Prune)];
    }
    let release = format!("{hash}-{}", seen.spelled);
    let change = Change { release: release.clone(), present: seen.present(), current: seen.current.clone() };
    let send = format!("send the files of release {}", hash.short());
    let send = step("files", Phase::Preparing, send, Action::Files { release });
    let prune = "remove old releases, configs, secrets and images";
    let prune = step("prune", Phase::Finishing, prune.to_owned(), Action::Prune);
    if seen.fits() {
        let noted =
            seen.current.as_ref().is_none_or(|current| current.hash.is_none_or(|noted| noted == *hash));
        if noted {
            return Vec::new();
        }
        let told = "note the release; no service changes".to_owned();
        return vec![send, step("record", Phase::Switching, told, Action::Record(change)), prune];
    }
    let mut images: Vec<String> = seen
        .services
        .values()
        .filter(|service| !service.matches && !service.image.is_empty())
        .map(|service| service.image.clone())
        .collect();
    images.sort();
    images.dedup();
    let look = "see that the images are there, and that a node can run them".to_owned();
    vec![
        send,
        step("images", Phase::Preparing, look, Action::Images { images }),
        step("deploy", Phase::Switching, told(&seen), Action::Deploy(change)),
        step("stable", Phase::Verifying, "see that it stays up".to_owned(), Action::Stable),
        prune,
    ]
}

/// What changes, per service: `update web (image 1.0 becomes 1.1), create worker, remove cron`.
fn told(seen: &Seen) -> String {
    let mut parts = Vec::new();
    for (name, service) in seen.services.iter().filter(|(_, service)| !service.matches) {
        parts.push(match service.present {
            true => format!("update {name} ({})", service.reasons.join(", ")),
            false => format!("create {name}"),
        });
    }
    parts.extend(seen.orphans.iter().map(|name| format!("remove {name}")));
    parts.extend(seen.create.iter().map(|thing| format!("create {thing}")));
    let mut told = parts.join(", ");
    let changed = seen.services.iter().filter(|(_, service)| !service.matches && service.present);
    for (name, gap) in changed.filter_map(|(name, service)| Some((name, service.gap.as_ref()?))) {
        told.push_str(&format!("; {name} is away for a while: {gap}"));
    }
    for (name, _) in seen.services.iter().filter(|(_, service)| service.job && !service.matches) {
        told.push_str(&format!("; the job {name} runs"));
    }
    for port in &seen.unreachable {
        told.push_str(&format!("; {port}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::body::ServiceSeen;

    #[test]
    fn a_plan_says_what_changes_and_why_and_what_is_away() {
        let web = ServiceSeen {
            present: true,
            reasons: vec!["image 1 becomes 2".into()],
            gap: Some("its tasks stop first".into()),
            ..ServiceSeen::default()
        };
        let job = ServiceSeen { job: true, ..ServiceSeen::default() };
        let fine = ServiceSeen { present: true, matches: true, ..ServiceSeen::default() };
        let seen = Seen {
            services: [("web", web), ("migrate", job), ("db", fine)]
                .map(|(name, service)| (name.to_owned(), service))
                .into(),
            orphans: vec!["cron".into()],
            create: vec!["config c_1".into()],
            ..Seen::default()
        };
        assert_eq!(
            told(&seen),
            "create migrate, update web (image 1 becomes 2), remove cron, create config c_1; web is away for a while: \
             its tasks stop first; the job migrate runs"
        );
    }
}
