//! Swarm, and what its ingress needs of the kernel.

use super::judge::{Facts, first};
use super::{Finding, Standing};

/// What an engine says of its part in a swarm.
const STATES: [&str; 5] = ["inactive", "pending", "active", "error", "locked"];

pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let Some(said) = facts.get("swarm").and_then(|said| said.first()) else { return Vec::new() };
    let mut words = said.split_whitespace();
    let (state, manager) = (words.next().unwrap_or_default(), words.next() == Some("true"));
    if !STATES.contains(&state) {
        // No engine answered: that is told already.
        return Vec::new();
    }
    let swarm = match (state, manager) {
        ("active", true) => (Standing::Ok, "a manager of a swarm".to_owned()),
        ("active", false) => (
            Standing::Warning,
            "part of a swarm and not a manager of it: name a manager's server for deployments of type swarm"
                .to_owned(),
        ),
        ("inactive", _) => (
            Standing::Ok,
            "no swarm, which only deployments of type swarm need: `docker swarm init`".to_owned(),
        ),
        ("locked", _) => {
            (Standing::Failed, "the swarm is locked: run `docker swarm unlock` there".to_owned())
        }
        (state, _) => (
            Standing::Warning,
            format!("the swarm is in the state {state:?}: see `docker info` and `docker node ls` there"),
        ),
    };
    vec![Finding::new("swarm", swarm.0, swarm.1), ipvs(first(facts, "ipvs"), state == "active")]
}

fn ipvs(found: &str, swarm: bool) -> Finding {
    let (standing, message) = match found {
        "loaded" | "module" => (Standing::Ok, "the kernel has IPVS, which the ports of stacks need"),
        _ if swarm => (
            Standing::Warning,
            "the kernel has no IPVS, so that the ingress of Swarm does not work: give each published port of a stack \
             `mode: host`, or load the module ip_vs",
        ),
        _ => (
            Standing::Ok,
            "the kernel has no IPVS: in a swarm, the ports of stacks would have to be `mode: host`",
        ),
    };
    Finding::new("ipvs", standing, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(swarm: &str, ipvs: &str) -> Vec<Finding> {
        let facts = [("swarm", swarm), ("ipvs", ipvs)];
        all(&facts.into_iter().map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).collect())
    }

    #[test]
    fn a_kernel_without_ipvs_is_told_and_matters_in_a_swarm() {
        let there = found("active true", "none");
        assert_eq!(there[1].standing, Standing::Warning);
        assert!(there[1].message.contains("`mode: host`"), "{there:?}");
        let none = found("inactive false", "none");
        assert!(none.iter().all(|finding| finding.standing == Standing::Ok));
        assert!(none[1].message.contains("`mode: host`"), "{none:?}");
        assert_eq!(found("active true", "module")[1].standing, Standing::Ok);
    }

    #[test]
    fn without_an_engine_nothing_is_said_of_its_swarm() {
        assert!(all(&Facts::new()).is_empty());
        assert!(found("false", "none").is_empty());
    }
}
