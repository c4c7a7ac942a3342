#![expect(clippy::unwrap_used, reason = "a contract is a test: it panics where a promise is broken")]

use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::port::{Context, Phase, Place, Settled, Step, Target, TargetError};

/// A place with nothing on it, and two releases of one deployment to bring there.
#[async_trait]
pub trait Lab: Send + Sync {
    /// The target; after a crash another instance over the same world. It may be a new one at every call.
    fn target(&self) -> Arc<dyn Target>;

    /// Where it runs.
    fn place(&self) -> Place;

    /// What the first (1) or the second (2) release runs under. They differ in what a visitor sees.
    fn release(&self, number: u8) -> Context;

    /// What a visitor sees; `None` where nothing is served.
    async fn visible(&self) -> Option<String>;

    /// After how many of the steps a rollout is cut off: after any of them, where that takes no time.
    fn cuts(&self, steps: &[Step]) -> Vec<usize> {
        (0..=steps.len()).collect()
    }
}

/// The cut for labs in which each takes many seconds: right after what is visible changed. With the variable
/// `DHOW_EVERY_DEATH` it is every one.
pub fn main_cuts(steps: &[Step]) -> Vec<usize> {
    if std::env::var_os("DHOW_EVERY_DEATH").is_some() {
        return (0..=steps.len()).collect();
    }
    vec![steps.iter().take_while(|step| step.phase <= Phase::Switching).count()]
}

/// Runs every test of the contract, each in a new lab. Panics where a promise is broken.
pub async fn contract<L: Lab>(make: impl AsyncFn() -> L) {
    let cuts = a_rollout_ends_with_an_empty_plan(&make().await).await;
    a_lower_epoch_is_refused(&make().await).await;
    removing_twice_is_removing_once(&make().await).await;
    for cut in cuts {
        nothing_visible_changes_before_switching_and_undo_restores(&make().await, cut).await;
        recovery_after_a_cut_completes(&make().await, cut).await;
    }
}

async fn plan(lab: &dyn Lab, to: &Context) -> Vec<Step> {
    let target = lab.target();
    let observed = target.observe(&to.rendered, &lab.place()).await.unwrap();
    let steps = target.plan(&to.rendered, &to.hash, &lab.place(), &observed);
    assert_eq!(steps, target.plan(&to.rendered, &to.hash, &lab.place(), &observed), "a plan is not pure");
    assert!(steps.is_sorted_by_key(|s| s.phase), "phases are out of order: {steps:?}");
    steps
}

async fn execute(lab: &dyn Lab, steps: &[Step], context: &Context) {
    for step in steps {
        lab.target().execute(step, context).await.unwrap_or_else(|e| panic!("{}: {e}", step.key));
    }
}

async fn roll_out(lab: &dyn Lab, number: u8) {
    let context = lab.release(number);
    let steps = plan(lab, &context).await;
    execute(lab, &steps, &context).await;
    let observed = lab.target().observe(&context.rendered, &lab.place()).await.unwrap();
    assert_eq!(observed.release.as_ref(), Some(&context.hash));
    assert_eq!(plan(lab, &context).await, [], "a plan after the rollout is not empty");
}

/// The answer: where a rollout of the second release is to be cut off.
async fn a_rollout_ends_with_an_empty_plan(lab: &dyn Lab) -> Vec<usize> {
    assert_eq!(lab.visible().await, None);
    roll_out(lab, 1).await;
    let first = lab.visible().await;
    let cuts = lab.cuts(&plan(lab, &lab.release(2)).await);
    roll_out(lab, 2).await;
    assert_ne!(lab.visible().await, first);
    let id = &lab.release(1).rendered.deployment;
    let kept = lab.target().releases(id, &lab.place()).await.unwrap();
    assert!(kept.iter().all(|r| r.current == (r.hash == lab.release(2).hash)), "{kept:?}");
    roll_out(lab, 1).await;
    assert_eq!(lab.visible().await, first);
    cuts
}

async fn nothing_visible_changes_before_switching_and_undo_restores(lab: &dyn Lab, cut: usize) {
    roll_out(lab, 1).await;
    let seen = lab.visible().await;
    let context = lab.release(2);
    // Finishing is never rolled back.
    let mut steps = plan(lab, &context).await;
    steps.retain(|s| s.phase < Phase::Finishing);
    for step in &steps[..cut.min(steps.len())] {
        execute(lab, std::slice::from_ref(step), &context).await;
        if step.phase < Phase::Switching {
            assert_eq!(lab.visible().await, seen, "{} changed what visitors see", step.key);
        }
    }
    for _ in 0..2 {
        for step in steps.iter().rev() {
            lab.target().undo(step, &context).await.unwrap();
        }
        assert_eq!(lab.visible().await, seen, "undo after {cut} steps");
    }
    roll_out(lab, 2).await;
}

async fn recovery_after_a_cut_completes(lab: &dyn Lab, cut: usize) {
    roll_out(lab, 1).await;
    let context = lab.release(2);
    let steps = plan(lab, &context).await;
    execute(lab, &steps[..cut], &context).await;
    for (at, step) in steps.iter().enumerate() {
        let settled = lab.target().settle(step, &context).await.unwrap();
        let wrong = if at < cut { Settled::NotDone } else { Settled::Done };
        assert_ne!(settled, wrong, "{} is misjudged after {cut} steps", step.key);
    }
    // All again, twice: executing what is done must be harmless.
    execute(lab, &steps, &context).await;
    let seen = lab.visible().await;
    execute(lab, &steps, &context).await;
    assert_eq!(lab.visible().await, seen);
    assert_eq!(plan(lab, &context).await, []);
}

async fn a_lower_epoch_is_refused(lab: &dyn Lab) {
    let mut context = lab.release(1);
    let steps = plan(lab, &context).await;
    context.epoch = 7;
    execute(lab, &steps[..1], &context).await;
    context.epoch = 6;
    let error = lab.target().execute(&steps[0], &context).await.unwrap_err();
    assert!(matches!(error, TargetError::Fenced { seen: 7, ours: 6 }), "{error}");
}

async fn removing_twice_is_removing_once(lab: &dyn Lab) {
    roll_out(lab, 1).await;
    let context = lab.release(1);
    for _ in 0..2 {
        lab.target().remove(&context.rendered.deployment, &lab.place(), context.epoch).await.unwrap();
        assert_eq!(lab.visible().await, None);
        assert!(!lab.target().observe(&context.rendered, &lab.place()).await.unwrap().present);
    }
    roll_out(lab, 1).await;
}
