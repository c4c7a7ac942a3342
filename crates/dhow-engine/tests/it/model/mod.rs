//! The rules of the voyage (design sections 4 to 6) against random sequences of commands and failures.
//!
//! - [`action`]: what people, registries and the world may do, and random sequences of it.
//! - [`act`]: doing it, on the real engine with twins in memory and a clock that takes no time.
//! - [`reference`]: what a simple model knows from outside: what was published, who pushed and who said yes, what ran
//!   healthy. It never asks the engine's gates.
//! - [`promises`]: what must hold after every step.
//! - [`ending`]: once failures stop, everything comes to rest, and runs what the fleet or a conclusion says.
//!
//! `PROPTEST_CASES` sets how many sequences are tried, `DHOW_MODEL_SEED` from which number they are made. A sequence that
//! breaks a promise is shortened and printed; once it is mended, it stays in [`kept`], which `DHOW_MODEL_TIMES` runs so often,
//! or of it what `DHOW_MODEL_KEPT` is part of: what several tasks do at once may take another order each time. `DHOW_MODEL_TELL=1` prints all events.
//!
//! That each promise sees what it is for was shown by breaking rules of the engine by hand, one at a time
//! (`DHOW_MODEL_SEED=7`):
//!
//! | what the engine was made to do | what said so | sequence |
//! | --- | --- | --- |
//! | select what is quarantined | "is selected for stage, and it is quarantined" | 5 |
//! | select and promote up to the version that was left | "all up to 1.1.0 is held back" | 21 |
//! | count an author's own vote | "begins with 1 of 2 approvals" | 1 |
//! | take one vote for enough, or ask for none | "begins with 1 of 2 approvals" | 1 |
//! | forget `from` at the gate | "goes live with ..., which never ran healthy on stage" | 6 |
//! | promote before stage runs it | "is promoted, and never ran healthy on stage" | 46 |
//! | forget the soak | "healthy with it for 0 ms of 120000" | 6 |
//! | begin a second rollout beside one that runs | "begins rollout 189 while 188 is switching" | 1 |
//! | keep several that wait | "has several rollouts at once" | 1 |
//! | let the older of those that wait win | "does not run what the fleet says, and nothing says why" | 47 |
//! | leave out the edit back | "still stands at 1.3.0, which failed there" | 41 |
//! | roll out what could be adopted | "runs, and gets a rollout before it was looked at" | 8 |
//! | roll out what runs and differs at first sight | the same | 53 |
//! | say that it removed, and not do it | "left the fleet and runs, and nobody is asked" | 3 |
//! | forget `after` | "begins, and shop is None" | 3 |
//! | roll out what is held (in both places that refuse it) | "begins with ..., which is held" | 1 |
//! | leave the deployments beside one that fails as they are | "runs ..., which failed there, and ... was healthy" | 170 |
//!
//! The numbers are of the day when it was shown: a new action makes other sequences.

mod act;
mod action;
mod ending;
mod kept;
mod promises;
mod reference;
mod shop;

use std::cell::Cell;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::support::World;

use action::{Case, cases};
use reference::Reference;

/// Sequences in the short run.
const CASES: u32 = 24;
/// The number that the sequences are made from.
const SEED: u64 = 2026;

/// A promise that does not hold, in words.
type Broken = String;

/// Runs one sequence; the error says which promise broke, and when.
fn run(case: &Case) -> Result<(), Broken> {
    let mut world = shop::world(case.shape);
    let end = go_through(case, &mut world);
    if end.is_err() && number("DHOW_MODEL_TELL").is_some() {
        world.events().iter().for_each(|event| eprintln!("{event:?}"));
    }
    end
}

fn go_through(case: &Case, world: &mut World) -> Result<(), Broken> {
    let mut known = Reference::new(case.shape);
    world.start();
    known.look(world)?;
    for (number, action) in case.actions.iter().enumerate() {
        act::act(world, &mut known, action);
        known.look(world).map_err(|broken| format!("after step {number}, {action:?}: {broken}"))?;
    }
    ending::come_to_rest(world, &mut known)
}

#[test]
fn what_once_broke_a_promise_breaks_none() {
    let times = usize::try_from(number("DHOW_MODEL_TIMES").unwrap_or(1)).unwrap_or(1);
    let only = std::env::var("DHOW_MODEL_KEPT").unwrap_or_default();
    let kept = kept::cases().into_iter().filter(|(what, _)| what.contains(&only));
    for (what, case) in kept.flat_map(|case| std::iter::repeat_n(case, times)) {
        run(&case).unwrap_or_else(|broken| panic!("{what}: {broken}\n{case:?}"));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn whatever_people_and_failures_do_the_promises_hold_and_everything_comes_to_rest() {
    let seed = number("DHOW_MODEL_SEED").unwrap_or(SEED);
    let config = Config {
        cases: number("PROPTEST_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: number("DHOW_MODEL_SHRINK").map_or(300, |n| n as u32),
        ..Config::default()
    };
    let (told, tried) = (Cell::new(false), Cell::new(0));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let ran = runner.run(&cases(), |case| {
        tried.set(tried.get() + 1);
        run(&case).map_err(|broken| {
            // The first one is told at once: making it shorter takes a while.
            if !told.replace(true) {
                let tried = tried.get();
                eprintln!(
                    "a promise does not hold, sequence {tried}: {broken}\n{case:?}\nnow it is made shorter"
                );
            }
            TestCaseError::fail(broken)
        })
    });
    match ran {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!(
            "a promise does not hold: {why}\n{case:?}\nagain: DHOW_MODEL_SEED={seed} cargo test -p dhow-engine model"
        ),
        Err(error) => panic!("{error}; again: DHOW_MODEL_SEED={seed} cargo test -p dhow-engine model"),
    }
}
