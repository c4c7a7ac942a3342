use std::collections::BTreeSet;

use dhow_core::fleet::DesiredHash;
use dhow_core::port::{Observed, Phase, Place, Rendered, Step};

use super::body::{Action, Body, Seen, Source};
use crate::web::Sites;

/// The steps to this release. A body that cannot be read gives steps that say so when they are executed.
pub(super) fn plan(rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
    if matches!(place, Place::Server(_)) {
        return plan_there(rendered, hash, place, observed);
    }
    let (seen, id) = (Seen::of(observed), &rendered.deployment);
    let body = Body::of(rendered).ok();
    let name = describe(rendered, body.as_ref());
    let step =
        |name: &str, phase, summary: String, action: Action| step(hash, place, name, phase, summary, &action);
    if observed.release.as_ref() == Some(hash) {
        if !seen.whole || seen.live.as_ref() != Some(hash) {
            let summary = format!("mend {id}: bring back {name} and serve it");
            return vec![step("mend", Phase::Switching, summary, Action::Mend)];
        }
        let wanted = Sites::all_hosts(id, body.as_ref().map_or(&[], |body| &body.hosts));
        if wanted.iter().collect::<BTreeSet<_>>() == seen.hosts.iter().collect() {
            return Vec::new();
        }
        let summary = format!("serve {id} for {}", wanted.join(", "));
        return vec![step("hosts", Phase::Switching, summary, Action::Hosts { previous: seen.hosts })];
    }
    let previous = observed.release;
    let there_before = seen.releases.contains(hash);
    let from =
        previous.as_ref().map_or("nothing".to_owned(), |previous| format!("release {}", previous.short()));
    vec![
        step("unpack", Phase::Preparing, format!("unpack {name}"), Action::Unpack { there_before }),
        step("candidate", Phase::Preparing, format!("serve {name} for checks only"), Action::Candidate),
        step(
            "switch",
            Phase::Switching,
            format!("switch {id} from {from} to release {}", hash.short()),
            Action::Switch { previous },
        ),
        step("prune", Phase::Finishing, format!("remove old releases of {id}"), Action::Prune { previous }),
    ]
}

/// The steps on a server, whose own web server serves the files.
fn plan_there(rendered: &Rendered, hash: &DesiredHash, place: &Place, observed: &Observed) -> Vec<Step> {
    let (seen, id) = (Seen::of(observed), &rendered.deployment);
    let name = describe(rendered, Body::of(rendered).ok().as_ref());
    let step =
        |name: &str, phase, summary: String, action: Action| step(hash, place, name, phase, summary, &action);
    if observed.release.as_ref() == Some(hash) {
        if seen.whole {
            return Vec::new();
        }
        let summary = format!("mend {id} on {place}: bring back {name}");
        return vec![step("mend", Phase::Switching, summary, Action::MendThere)];
    }
    let from = match (&observed.release, &seen.link) {
        (Some(release), _) => format!("release {}", release.short()),
        (None, Some(link)) => format!("{link:?}, which is not ours,"),
        (None, None) => "nothing".to_owned(),
    };
    let previous = seen.link;
    let (unpacked, sent) = (seen.unpacked.contains(hash), seen.releases.contains(hash));
    vec![
        step("unpack", Phase::Preparing, format!("unpack {name}"), Action::Unpack { there_before: unpacked }),
        step(
            "send",
            Phase::Preparing,
            format!("send {name} to {place} and compare it there"),
            Action::Send { there_before: sent },
        ),
        step("candidate", Phase::Preparing, format!("serve {name} for checks only"), Action::Candidate),
        step(
            "switch",
            Phase::Switching,
            format!("switch {id} on {place} from {from} to release {}", hash.short()),
            Action::Point { previous: previous.clone() },
        ),
        step(
            "prune",
            Phase::Finishing,
            format!("remove old releases of {id} on {place}"),
            Action::PruneThere { previous },
        ),
    ]
}

fn step(
    hash: &DesiredHash,
    place: &Place,
    name: &str,
    phase: Phase,
    summary: String,
    action: &Action,
) -> Step {
    let key = format!("{}:{name}", hash.short());
    Step { key, phase, place: place.clone(), summary, action: action.value() }
}

/// `web 1.4.0`, or `12 files of the fleet`.
fn describe(rendered: &Rendered, body: Option<&Body>) -> String {
    match body.map(|body| &body.source) {
        Some(Source::Bundle { artifact, pin }) => {
            let name = artifact.as_ref().map_or(pin.repository.path(), |artifact| artifact.as_str());
            match &pin.tag {
                Some(tag) => format!("{name} {tag}"),
                None => format!("{name} {}", pin.digest.short()),
            }
        }
        Some(Source::Folder(_)) => match rendered.fleet_files.len() {
            1 => "1 file of the fleet".to_owned(),
            files => format!("{files} files of the fleet"),
        },
        None => "the release".to_owned(),
    }
}
