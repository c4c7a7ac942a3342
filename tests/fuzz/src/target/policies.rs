//! Policies: what is selected is the best of what is accepted, in whatever order the tags come.

use dhow_core::policy::{self, Policy, Rule};
use dhow_core::yaml::parse_duration;

/// Lines: the policy with its argument, the filter, what it extracts, then tags.
pub(super) fn body(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let (kind, argument) = lines.next().unwrap_or_default().split_once(' ').unwrap_or_default();
    let _ = parse_duration(argument);
    let policy = match kind {
        "semver" => Policy::semver(argument),
        "alphabetical" => Policy::alphabetical(argument),
        "numerical" => Policy::numerical(argument),
        _ => Policy::digest(argument),
    };
    let Ok(policy) = policy else { return };
    let filter = lines.next().filter(|line| !line.is_empty());
    let extract = lines.next().filter(|line| !line.is_empty());
    let Ok(rule) = Rule::new(policy, filter, extract) else { return };
    let tags: Vec<&str> = lines.take(200).collect();
    let selected = policy::select(&rule, tags.iter().copied());
    let ranked = policy::ranked(&rule, tags.iter().copied());
    let (Ok(selected), Ok(ranked)) = (selected, ranked) else { return };
    assert_eq!(selected, ranked.first().copied(), "{rule:?}");
    for tag in &ranked {
        assert!(tags.contains(tag) && policy::accepts(&rule, tag), "{rule:?} ranks {tag:?}");
    }
    for tag in &tags {
        assert_eq!(ranked.contains(tag), policy::accepts(&rule, tag), "{rule:?} and {tag:?}");
    }
    let backwards = policy::ranked(&rule, tags.iter().rev().copied()).ok();
    assert_eq!(backwards, Some(ranked), "{rule:?}: the order of the tags counts");
}
