//! The kill harness sees what it is for: a binary that breaks a promise is caught.

use std::time::Duration;

use dhow_crash::lab::Lab;
use dhow_crash::point::Point;
use dhow_crash::run::{self, Outcome};
use dhow_crash::scenario;

use super::short::lab;

/// Runs the promotion with a broken binary, killed at the first point that says this; what the harness says of it.
async fn caught(broken: &str, class: &str, says: &str, side: &str) -> String {
    let scenarios = scenario::all();
    let promotion = scenarios.iter().find(|scenario| scenario.name() == "promotion").unwrap().as_ref();
    let good = lab();
    let reference = run::reference(&good, promotion).await.unwrap();
    let is_it = |point: &&Point| point.class == class && point.words.contains(says);
    let found = reference.passed.iter().find(is_it).unwrap();
    let point = Point { side: side.into(), ..found.clone() };
    let as_it_should = run::killed(&good, promotion, &reference, vec![point.clone()]).await;
    assert_eq!(as_it_should, Outcome::Same, "without the defect");
    let lab = Lab { broken: Some(broken.into()), patience: Duration::from_secs(8), ..good };
    match run::killed(&lab, promotion, &reference, vec![point]).await {
        Outcome::Differs(wrong) => wrong.join("\n"),
        other => panic!("{broken} was not caught: {other:?}"),
    }
}

#[tokio::test]
async fn an_effect_without_its_started_event_is_caught() {
    let told = caught("unstarted", "step", "unpack", "after").await;
    assert!(told.contains("step_done without its started event"), "{told}");
    assert!(told.contains("was pushed, and never started"), "{told}");
}

#[tokio::test]
async fn a_push_that_is_repeated_without_looking_is_caught() {
    let told = caught("blind-push", "push", "", "after").await;
    assert!(
        told.contains("what commits say:\n  too much:\n    Dhow-Version: shop/static_file/stage"),
        "{told}"
    );
}

#[tokio::test]
async fn a_cursor_that_moves_on_before_its_reader_has_acted_is_caught() {
    let told = caught("early-cursor", "batch", "fleet_moved", "after").await;
    assert!(told.contains("in vain: status"), "{told}");
}
