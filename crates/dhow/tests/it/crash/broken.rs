//! The kill harness sees what it is for: a binary that breaks a promise is caught.

use std::time::Duration;

use dhow_crash::lab::Lab;
use dhow_crash::point::Point;
use dhow_crash::run::{self, Outcome, Reference};
use dhow_crash::scenario::{self, Scenario};
use futures::future::join;

use super::short::{Death, first, lab};

/// Runs a voyage with a broken binary, killed at a point; what the harness says of it.
async fn caught(broken: &str, promotion: &dyn Scenario, reference: &Reference, point: &Point) -> String {
    let lab = Lab { broken: Some(broken.into()), patience: Duration::from_secs(8), ..lab() };
    match run::killed(&lab, promotion, reference, vec![point.clone()]).await {
        Outcome::Differs(wrong) => wrong.join("\n"),
        other => panic!("{broken} was not caught: {other:?}"),
    }
}

#[tokio::test]
async fn a_missing_start_a_blind_push_and_an_early_cursor_are_caught() {
    let all = scenario::all();
    let promotion = all.iter().find(|scenario| scenario.name() == "promotion").unwrap().as_ref();
    let reference = run::reference(&lab(), promotion).await.unwrap();
    let variants: [(&str, Death, &[&str]); 3] = [
        // An effect without its started event.
        (
            "unstarted",
            ("step", "unpack", "after"),
            &["step_done without its started event", "was pushed, and never started"],
        ),
        // A push that is repeated without looking.
        (
            "blind-push",
            ("push", "", "after"),
            &["what commits say:\n  too much:\n    Dhow-Version: shop/static_file/stage"],
        ),
        // A cursor that moves on before its reader has acted.
        ("early-cursor", ("batch", "fleet_moved", "after"), &["in vain: status"]),
    ];
    for (broken, death, words) in variants {
        let point = first(&reference.passed, death);
        let good = lab();
        let as_it_should = run::killed(&good, promotion, &reference, vec![point.clone()]);
        let (as_it_should, told) = join(as_it_should, caught(broken, promotion, &reference, &point)).await;
        assert_eq!(as_it_should, Outcome::Same, "without the defect {broken}");
        for words in words {
            assert!(told.contains(words), "{broken}: {told}");
        }
    }
}
