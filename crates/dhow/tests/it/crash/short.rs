//! The short form of the kill harness: in each scenario, deaths of which each tells something of its own.

use std::time::Duration;

use dhow_crash::lab::Lab;
use dhow_crash::point::{self, Point};
use dhow_crash::run::{self, Outcome};
use dhow_crash::scenario;

/// Where a process dies: class, what the point says, side. The first point that says so is taken.
pub type Death = (&'static str, &'static str, &'static str);

/// The scenarios with their deaths. `own` ones are the scenario's own, by number.
const DEATHS: [(&str, &[Death]); 9] = [
    // A bundle comes in half.
    ("publish", &[("bundle", "", "+300")]),
    // The remote has the commit and nobody knows; the vote is stored and not answered; in the midst of a switch.
    ("promotion", &[("push", "", "after"), ("batch", "voted", "after"), ("step", "switch", "+200")]),
    ("rollback", &[("batch", "held", "after")]),
    // What follows from a failure is stored and not done; in the midst of the way back.
    ("quarantine", &[("batch", "quarantined", "after"), ("undo", "", "after")]),
    ("removal", &[("remove", "", "after")]),
    ("several", &[("push", "", "+2000")]),
    ("late-push", &[("own", "1", "")]),
    ("upload", &[("own", "1", "")]),
    ("migration", &[("own", "3", ""), ("own", "12", "")]),
];

pub fn lab() -> Lab {
    Lab { patience: Duration::from_secs(60), width: 2, ..Lab::new(env!("CARGO_BIN_EXE_dhow")) }
}

/// The first point that says this.
pub fn first(passed: &[Point], (class, says, side): Death) -> Point {
    if class == point::OWN {
        let number: usize = says.parse().unwrap();
        return point::own(number as u64).pop().unwrap();
    }
    let found = passed.iter().find(|point| point.class == class && point.words.contains(says));
    let found = found.unwrap_or_else(|| panic!("no {class} says {says:?} any more: {passed:#?}"));
    Point { side: side.into(), ..found.clone() }
}

async fn scenarios_end_as_undisturbed(names: &[&str]) {
    let lab = lab();
    let mut wrong = Vec::new();
    for (name, deaths) in DEATHS.into_iter().filter(|(name, _)| names.contains(name)) {
        let scenario = scenario::all().into_iter().find(|scenario| scenario.name() == name).unwrap();
        let reference = run::reference(&lab, scenario.as_ref()).await.unwrap();
        let deaths: Vec<Point> = deaths.iter().map(|death| first(&reference.passed, *death)).collect();
        for (point, outcome) in run::each(&lab, scenario.as_ref(), &reference, deaths, |_, _| {}).await {
            if let Outcome::Differs(differences) = outcome {
                wrong.push(format!("{name} at {point}:\n{}", differences.join("\n")));
                wrong.push(format!("again: cargo xtask crash --scenario {name} --point {}", point.at()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_update_killed_where_it_hurts_ends_as_if_it_had_not_been() {
    scenarios_end_as_undisturbed(&["publish", "promotion", "late-push", "migration", "removal"]).await;
}

#[tokio::test]
async fn a_way_back_or_several_at_once_killed_where_it_hurts_end_as_if_they_had_not_been() {
    scenarios_end_as_undisturbed(&["rollback", "quarantine", "upload", "several"]).await;
}

#[test]
fn every_scenario_is_in_the_short_form() {
    for scenario in scenario::all() {
        assert!(DEATHS.iter().any(|(name, _)| *name == scenario.name()), "{}", scenario.name());
    }
}
