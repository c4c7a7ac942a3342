//! What a rollout, its undo and a rollback leave on disk and in the web server.

use std::sync::Arc;

use dhow_core::fleet::DeploymentSettings;
use dhow_core::port::{Context, Phase, Place, Settled, Target, TargetError};
use dhow_testkit::MemorySource;

use crate::fixture::{archive, file, hash, id};

use super::bench::Bench;

#[tokio::test]
async fn a_process_killed_between_any_two_steps_keeps_the_sites_and_its_successor_completes() {
    for cut in 0..=4 {
        let bench = Bench::new().await;
        bench.roll_out(&bench.site("1").await).await;
        let context = bench.site("2").await;
        let steps = bench.plan(&context).await;
        for step in &steps[..cut] {
            bench.target.execute(step, &context).await.unwrap();
        }
        let seen = bench.body().await;
        let next = bench.reopen().await;
        assert_eq!(next.body().await, seen, "a restart after {cut} steps changed what visitors see");
        for (at, step) in steps.iter().enumerate() {
            let settled = next.target.settle(step, &context).await.unwrap();
            assert_ne!(
                settled,
                if at < cut { Settled::NotDone } else { Settled::Done },
                "{} after {cut}",
                step.key
            );
            next.target.execute(step, &context).await.unwrap();
        }
        assert_eq!(next.body().await.as_deref(), Some("2"));
        assert_eq!(next.plan(&context).await, []);
    }
}

#[tokio::test]
async fn a_bundle_that_is_refused_leaves_the_old_release_serving_and_names_the_entry() {
    let bench = Bench::new().await;
    bench.roll_out(&bench.site("1").await).await;
    let bad = archive(&[file("index.html", "2"), file("../x", "2")]);
    let context = bench.bundle("2", bad, DeploymentSettings::default()).await;
    let steps = bench.plan(&context).await;
    assert_eq!((steps[0].summary.as_str(), steps[0].phase), ("unpack web 2", Phase::Preparing));
    let error = bench.target.execute(&steps[0], &context).await.unwrap_err();
    assert!(matches!(&error, TargetError::Failed(message) if message.contains("../x")), "{error}");
    bench.target.undo(&steps[0], &context).await.unwrap();
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap().len(), 1);
}

#[tokio::test]
async fn undoing_the_first_rollout_leaves_nothing_served_and_nothing_on_disk() {
    let bench = Bench::new().await;
    let context = bench.site("1").await;
    let steps = bench.plan(&context).await;
    for step in &steps[..3] {
        bench.target.execute(step, &context).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    for step in steps[..3].iter().rev() {
        bench.target.undo(step, &context).await.unwrap();
    }
    assert_eq!(bench.body().await, None);
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap(), []);
}

#[tokio::test]
async fn a_rollback_needs_no_registry_and_its_undo_never_removes_a_kept_release() {
    let bench = Bench::new().await;
    let (first, second) = (bench.site("1").await, bench.site("2").await);
    bench.roll_out(&first).await;
    bench.roll_out(&second).await;
    let back = Context { bundles: Arc::new(MemorySource::default()), tree: None, ..first };
    let steps = bench.plan(&back).await;
    for step in &steps[..3] {
        bench.target.execute(step, &back).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    for step in steps[..3].iter().rev() {
        bench.target.undo(step, &back).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("2"));
    bench.roll_out(&back).await;
    assert_eq!(bench.body().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn pruning_keeps_the_live_the_previous_and_the_wanted_releases() {
    let bench = Bench::new().await;
    for version in ["1", "2", "3"] {
        let keep = vec![hash("1").hex().parse().unwrap()];
        bench.roll_out(&Context { keep, ..bench.site(version).await }).await;
    }
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap().len(), 3);
    bench.roll_out(&bench.site("4").await).await;
    let left = bench.target.releases(&id(), &Place::Local).await.unwrap();
    let mut left: Vec<_> =
        left.into_iter().map(|release| (release.hash.to_string(), release.current)).collect();
    left.sort_by_key(|(_, current)| *current);
    assert_eq!(left, [(hash("3").hex(), false), (hash("4").hex(), true)]);
}
