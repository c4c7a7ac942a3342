//! Whether a node is what `deploy.placement.constraints` ask for, as Swarm's own scheduler reads them.

use std::net::IpAddr;

use super::api::NodeFacts;

/// The node has all that is asked for. What Swarm does not know either is fulfilled by no node.
pub(super) fn fits(constraints: &[String], node: &NodeFacts) -> bool {
    constraints.iter().all(|constraint| one(constraint, node).unwrap_or(false))
}

fn one(constraint: &str, node: &NodeFacts) -> Option<bool> {
    let (key, same, wanted) = match (constraint.split_once("=="), constraint.split_once("!=")) {
        (Some((key, wanted)), _) => (key.trim(), true, wanted.trim()),
        (None, Some((key, wanted))) => (key.trim(), false, wanted.trim()),
        (None, None) => return None,
    };
    let lower = key.to_ascii_lowercase();
    let label = |prefix: &str| lower.starts_with(prefix).then(|| &key[prefix.len()..]);
    let of = |labels: &std::collections::BTreeMap<String, String>, name: &str| {
        labels.get(name).cloned().unwrap_or_default()
    };
    let is = match lower.as_str() {
        "node.id" => equal(wanted, &node.id),
        "node.hostname" => equal(wanted, &node.name),
        "node.role" => equal(wanted, &node.role),
        "node.platform.os" => equal(wanted, &node.os),
        "node.platform.arch" => equal(wanted, &node.machine),
        "node.ip" => within(wanted, node.address.parse().ok()?)?,
        _ => match (label("node.labels."), label("engine.labels.")) {
            (Some(name), _) => equal(wanted, &of(&node.labels, name)),
            (_, Some(name)) => equal(wanted, &of(&node.engine_labels, name)),
            _ => return None,
        },
    };
    Some(is == same)
}

fn equal(wanted: &str, is: &str) -> bool {
    wanted.to_lowercase() == is.to_lowercase()
}

/// An address, or a network of them.
fn within(wanted: &str, address: IpAddr) -> Option<bool> {
    let Some((network, bits)) = wanted.split_once('/') else {
        return Some(wanted.parse::<IpAddr>().ok()? == address);
    };
    let (network, bits) = (network.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
    let of = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((network, width), (address, other)) = (of(network), of(address));
    if width != other || bits > width {
        return Some(false);
    }
    let away = width - bits;
    Some(away == 128 || network >> away == address >> away)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_told_apart_as_swarm_does() {
        let node = NodeFacts {
            id: "n1".into(),
            name: "Web1".into(),
            address: "10.0.0.7".into(),
            role: "worker".into(),
            os: "linux".into(),
            machine: "x86_64".into(),
            labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            ..NodeFacts::default()
        };
        let cases = [
            ("node.role == worker", true),
            ("node.role==manager", false),
            ("node.hostname == web1", true),
            ("node.labels.disk == SSD", true),
            ("node.labels.disk != ssd", false),
            ("node.labels.other != x", true),
            ("engine.labels.a == b", false),
            ("node.platform.arch == x86_64", true),
            ("node.ip == 10.0.0.0/24", true),
            ("node.ip != 10.0.0.7", false),
            ("node.ip == 10.0.1.0/24", false),
            ("node.shoe == 1", false),
            ("node.role", false),
        ];
        for (constraint, expected) in cases {
            assert_eq!(fits(&[constraint.to_owned()], &node), expected, "{constraint}");
        }
        assert!(fits(&[], &node));
    }
}
