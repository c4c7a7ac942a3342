//! The short form of the kill harness: some points of each scenario, spread over all that it passes.

use std::time::Duration;

use dhow_crash::lab::Lab;
use dhow_crash::point;
use dhow_crash::run::{self, Outcome};
use dhow_crash::scenario;

/// Deaths of each scenario.
const DEATHS: usize = 4;

pub fn lab() -> Lab {
    Lab { patience: Duration::from_secs(60), width: 2, ..Lab::new(env!("CARGO_BIN_EXE_dhow")) }
}

async fn scenarios_end_as_undisturbed(names: &[&str]) {
    let lab = lab();
    let mut wrong = Vec::new();
    for scenario in scenario::all().into_iter().filter(|s| names.contains(&s.name())) {
        let reference = run::reference(&lab, scenario.as_ref()).await.unwrap();
        let deaths = point::sample(run::deaths(scenario.as_ref(), &reference), DEATHS);
        let words: Vec<String> = deaths.iter().map(ToString::to_string).collect();
        println!("{}, killed at {}", scenario.name(), words.join("; "));
        for (point, outcome) in run::each(&lab, scenario.as_ref(), &reference, deaths, |_, _| {}).await {
            if let Outcome::Differs(differences) = outcome {
                let (name, at) = (scenario.name(), point.at());
                wrong.push(format!("{name} at {point}:\n{}", differences.join("\n")));
                wrong.push(format!("again: cargo xtask crash --scenario {name} --point {at}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_update_killed_at_any_point_ends_as_if_it_had_not_been() {
    scenarios_end_as_undisturbed(&["publish", "promotion", "late-push", "migration"]).await;
}

#[tokio::test]
async fn a_way_back_killed_at_any_point_ends_as_if_it_had_not_been() {
    scenarios_end_as_undisturbed(&["rollback", "quarantine", "upload", "several"]).await;
}
