//! What a commit of ours says: a line for people, why, and trailers that survive a lost database (design section 4).

use std::fmt::Write as _;

use dhow_core::noun::Pin;
use dhow_core::rollout::{UpdateRow, Why};

use super::edits::Edits;
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
pub(crate) fn message(view: &View, updates: &[&UpdateRow], edits: &Edits) -> String {
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
    for edit in edits.written() {
        let _ =
            writeln!(text, "Dhow-Version: {} {} {}", edit.deployment, edit.artifact, edit.pin.reference());
    }
    for update in updates {
        for id in view.deployments_of(&update.service, &update.environment) {
            let _ = writeln!(text, "Dhow-Why: {id} {}", trailer(update.why));
        }
        if let Some(proposal) = &update.proposal {
            let _ = writeln!(text, "Dhow-Proposal: {proposal}");
        }
    }
    text
}

fn trailer(why: Why) -> &'static str {
    match why {
        Why::Policy => "policy",
        Why::Promotion => "promotion",
        Why::Rollback => "rollback",
        Why::Command => "command",
    }
}
