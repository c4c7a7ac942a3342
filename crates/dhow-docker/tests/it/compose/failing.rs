use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::port::TargetError;
use dhow_testkit::engines::Image;

use crate::compose::support::{Lab, Release, get};

/// Version 1 runs; the other one fails with such a message, and 1 serves as before.
async fn fails(lab: &Lab, bad: &Release, words: &[&str]) -> TargetError {
    let error = lab.roll_out(bad).await.unwrap_err();
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"), "the old one does not serve");
    error
}

async fn with_one() -> Option<(Lab, String)> {
    let lab = Lab::new().await?;
    let one = lab.version("1").await;
    let file = lab.compose("");
    lab.roll_out(&lab.release(&[("compose.yaml", &file)], &one).await).await.unwrap();
    Some((lab, file))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_start_brings_the_old_one_back() {
    let Some((lab, file)) = with_one().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let release = lab.release(&[("compose.yaml", &file)], &bad).await;
    let error = fails(&lab, &release, &["web", "with code", "last lines of its log"]).await;
    assert!(matches!(error, TargetError::Failed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loop_is_no_success() {
    let Some((lab, file)) = with_one().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH_MS", "150")).await;
    let mut lab = lab;
    lab.options.stable = Duration::from_secs(4);
    let file = format!("{file}    restart: always\n");
    fails(&lab, &lab.release(&[("compose.yaml", &file)], &bad).await, &["restart"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_and_then_a_crash_after_five_seconds_brings_the_old_one_back() {
    let Some((mut lab, file)) = with_one().await else { return };
    lab.options.stable = Duration::from_secs(8);
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH_MS", "5000")).await;
    fails(&lab, &lab.release(&[("compose.yaml", &file)], &bad).await, &["code 3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_health_check_brings_the_old_one_back() {
    let Some((lab, file)) = with_one().await else { return };
    let image = Image::server(&lab.parts, "bad").env("HEALTH", "fail").line(
        "HEALTHCHECK --interval=200ms --timeout=2s --retries=2 --start-period=1ms CMD [\"/server\", \"check\"]",
    );
    let bad = lab.push("web", "bad", image).await;
    fails(&lab, &lab.release(&[("compose.yaml", &file)], &bad).await, &["is unhealthy"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_touches_nothing() {
    let Some((lab, file)) = with_one().await else { return };
    let ids = lab.ids("web").await;
    let missing = lab.pin("web", "9", Digest::of(b"no such image"));
    let release = lab.release(&[("compose.yaml", &file)], &missing).await;
    let error = fails(&lab, &release, &["does not have this image"]).await;
    assert!(matches!(error, TargetError::Failed(_)));
    assert_eq!(lab.ids("web").await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_another_architecture_touches_nothing() {
    let Some((lab, file)) = with_one().await else { return };
    let ids = lab.ids("web").await;
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let wrong = lab.pin("web", "wrong", lab.registry.as_architecture("web", "1", other));
    fails(&lab, &lab.release(&[("compose.yaml", &file)], &wrong).await, &["built for", other]).await;
    assert_eq!(lab.ids("web").await, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_that_fails_leaves_nothing() {
    let Some(lab) = Lab::new().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let release = lab.release(&[("compose.yaml", &lab.compose(""))], &bad).await;
    lab.roll_out(&release).await.unwrap_err();
    assert!(lab.ids("web").await.is_empty());
}
