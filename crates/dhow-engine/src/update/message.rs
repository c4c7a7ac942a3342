//! What a commit of ours says: a line for people, why, and trailers that survive a lost database (design section 4).

use std::fmt::Write as _;

use dhow_core::noun::{DeploymentId, Pin};
use dhow_core::rollout::{UpdateRow, Why};

use crate::view::View;

fn what(pin: &Pin) -> String {
    pin.tag.as_ref().map_or_else(|| pin.digest.short(), ToString::to_string)
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Policy => "selected by its policy",
        Why::Promotion => "promoted",
        Why::Rollback => "rolled back",
        Why::Command => "asked for",
    }
}

/// One line an update: `shop stage: web 1.4.0 (selected by its policy)`.
fn line(update: &UpdateRow) -> String {
    let pins = update.pins.iter().chain(update.restore.iter().map(|(a, r)| (a, &r.back)));
    let versions: Vec<String> = pins.map(|(artifact, pin)| format!("{artifact} {}", what(pin))).collect();
    let by = update.by.as_ref().map(|p| format!(", by {p}")).unwrap_or_default();
    format!("{} {}: {} ({}{by})", update.service, update.environment, versions.join(", "), why(update.why))
}

/// The message of a commit of these updates.
pub(crate) fn message(view: &View, updates: &[&UpdateRow]) -> String {
    let mut text = match updates {
        [one] => line(one),
        several => format!("update {} services", several.len()),
    };
    text.push_str("\n\n");
    if updates.len() > 1 {
        for update in updates {
            let _ = writeln!(text, "- {}", line(update));
        }
        text.push('\n');
    }
    for update in updates {
        for id in view.deployments_of(&update.service, &update.environment) {
            trailers(&mut text, view, update, &id);
        }
    }
    text
}

fn trailers(text: &mut String, view: &View, update: &UpdateRow, id: &DeploymentId) {
    for site in view.sites(id) {
        let restored = update.restore.get(&site.artifact).map(|r| &r.back);
        if let Some(pin) = update.pins.get(&site.artifact).or(restored) {
            let _ = writeln!(text, "Dhow-Version: {id} {} {}", site.artifact, pin.reference());
        }
    }
    let reason = match update.why {
        Why::Policy => "policy",
        Why::Promotion => "promotion",
        Why::Rollback => "rollback",
        Why::Command => "command",
    };
    let _ = writeln!(text, "Dhow-Why: {id} {reason}");
    if let Some(proposal) = &update.proposal {
        let _ = writeln!(text, "Dhow-Proposal: {proposal}");
    }
}
