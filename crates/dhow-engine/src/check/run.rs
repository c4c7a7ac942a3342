//! Patience: asking again until enough successes came in a row, or the phase's time is over.

use std::collections::VecDeque;

use dhow_core::fleet::CheckSpec;
use dhow_core::port::Clock;
use dhow_core::rollout::CheckFailure;
use futures::future::try_join_all;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::{LONGEST, cut, words};
use super::{CheckContext, try_within};

/// Answers that are kept.
const KEPT: usize = 5;

/// Why a deployment has not shown that it works.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failed {
    /// A check's time is over.
    #[error("the check `{}` failed: {}", .0.check, .0.answers.last().map_or("no answer", String::as_str))]
    Check(CheckFailure),
    /// A check fails, and nobody has the patience to see whether it would pass later.
    #[error("the check `{}` fails: {}", .0.check, .0.answers.last().map_or("no answer", String::as_str))]
    GaveWay(CheckFailure),
    /// It was interrupted, and says nothing about the deployment.
    #[error("the check was interrupted")]
    Interrupted,
}

/// Asks until the successes that are needed came in a row, or the phase's limit is over.
///
/// Every failure is tried again, also one that looks final: a candidate that still starts may answer anything. No try
/// outlasts the limit, and none begins after it. `interrupt` ends it at once, in a try or between two; a notification
/// that came before the call counts where the [`Notify`] keeps it (`notify_one`). `impatient`: the first failure ends
/// it, because something newer waits.
pub async fn run(
    spec: &CheckSpec,
    context: &CheckContext<'_>,
    clock: &dyn Clock,
    interrupt: &Notify,
    impatient: bool,
) -> Result<(), Failed> {
    tokio::select! {
        biased;
        () = interrupt.notified() => Err(Failed::Interrupted),
        result = ask(spec, context, clock, impatient) => result,
    }
}

/// All checks of a phase at once. The first failure wins and ends the others.
pub async fn run_all(
    specs: &[CheckSpec],
    context: &CheckContext<'_>,
    clock: &dyn Clock,
    interrupt: &Notify,
    impatient: bool,
) -> Result<(), Failed> {
    try_join_all(specs.iter().map(|spec| run(spec, context, clock, interrupt, impatient))).await.map(drop)
}

async fn ask(
    spec: &CheckSpec,
    context: &CheckContext<'_>,
    clock: &dyn Clock,
    impatient: bool,
) -> Result<(), Failed> {
    let start = clock.monotonic();
    let left = || spec.limit.saturating_sub(clock.monotonic().since(start));
    let needed = spec.successes.max(1);
    let mut row = 0;
    let mut answers = VecDeque::with_capacity(KEPT);
    loop {
        let (begun, time) = (Instant::now(), spec.timeout.min(left()));
        let pause = match try_within(spec, context, time).await {
            Ok(()) => {
                row += 1;
                spec.interval
            }
            Err(answer) => {
                row = 0;
                // One that the limit cut short says less than the answers before it, and does not hide them.
                let is_cut = time < spec.timeout && begun.elapsed() >= time;
                if !is_cut || answers.is_empty() {
                    keep(&mut answers, answer);
                }
                if impatient {
                    let check = cut(&context.describe(spec), LONGEST);
                    return Err(Failed::GaveWay(CheckFailure { check, answers: answers.into() }));
                }
                spec.retry
            }
        };
        if row >= needed {
            return Ok(());
        }
        if pause >= left() {
            break;
        }
        clock.sleep(pause).await;
    }
    if row > 0 {
        let limit = words(spec.limit);
        keep(&mut answers, format!("only {row} of {needed} successes in a row came within {limit}"));
    }
    let check = cut(&context.describe(spec), LONGEST);
    Err(Failed::Check(CheckFailure { check, answers: answers.into() }))
}

/// Keeps the newest ones.
fn keep(answers: &mut VecDeque<String>, answer: String) {
    if answers.len() == KEPT {
        answers.pop_front();
    }
    answers.push_back(answer);
}
