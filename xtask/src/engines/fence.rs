//! A fence around the addresses of test hosts: what is meant for them never leaves the machine.

use anyhow::Context as _;
use serde_json::Value;

use super::net::{ip, output, pool};

/// Where the rules of the first slot's fence stand among the machine's.
const FENCES: u64 = 21300;

/// Keeps what is meant for a slot's addresses on this machine: one that nobody has is unreachable, in place of being
/// sent to whoever the default route leads to. Asked for again, it changes nothing.
pub fn make(slot: u8) -> anyhow::Result<()> {
    let found = in_force(slot)?;
    for (priority, rule) in rules(slot) {
        if !found.contains(&priority) {
            let priority = priority.to_string();
            let words = ["rule", "add", "priority", &priority].into_iter();
            ip(&words.chain(rule.iter().map(String::as_str)).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// For each of the slot's ranges: its own routes, but no default route, and then nothing.
fn rules(slot: u8) -> [(u64, Vec<String>); 4] {
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    let own = |range: &str| words(format!("to {range} lookup main suppress_prefixlength 0"));
    let rest = |range: &str| words(format!("unreachable to {range}"));
    let first = FENCES + u64::from(slot) * 4;
    let (pool, hosts) = (pool(slot), format!("10.213.{}.0/20", slot * 16));
    [(first, own(&pool)), (first + 1, rest(&pool)), (first + 2, own(&hosts)), (first + 3, rest(&hosts))]
}

/// The priorities of the slot's rules that are in force.
fn in_force(slot: u8) -> anyhow::Result<Vec<u64>> {
    let found: Vec<Value> =
        serde_json::from_str(&output(&["-json", "rule", "show"])?).context("no list of rules")?;
    let priorities = found.iter().filter_map(|rule| rule.get("priority")?.as_u64());
    let first = FENCES + u64::from(slot) * 4;
    Ok(priorities.filter(|priority| (first..first + 4).contains(priority)).collect())
}

/// Takes the slot's fence down.
pub fn remove(slot: u8) -> anyhow::Result<()> {
    for priority in in_force(slot)? {
        ip(&["rule", "delete", "priority", &priority.to_string()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_left_by_its_own_routes_or_not_at_all() {
        let text: Vec<_> =
            rules(1).into_iter().map(|(at, rule)| format!("{at} {}", rule.join(" "))).collect();
        assert_eq!(text[0], "21304 to 10.212.16.0/20 lookup main suppress_prefixlength 0");
        assert_eq!(text[1], "21305 unreachable to 10.212.16.0/20");
        assert_eq!(text[3], "21307 unreachable to 10.213.16.0/20");
    }
}
