use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::port::{Context, TargetError};
use dhow_testkit::engines::Image;

use super::lab::Lab;

/// Version 1 runs; the other one fails with such a message, and 1 serves as before.
async fn fails(lab: &Lab, bad: &Context, words: &[&str]) -> TargetError {
    let error = lab.roll_out(bad).await.unwrap_err();
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    assert!(lab.serves("1").await, "the old one does not serve");
    error
}

async fn with_one() -> Option<(Lab, String)> {
    let lab = Lab::new().await?;
    let one = lab.version("1").await;
    let file = lab.beside("");
    lab.roll_out(&lab.release(&[("web-stack.yml", &file)], &one).await).await.unwrap();
    Some((lab, file))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_start_pauses_the_update_and_the_old_one_serves() {
    let Some((lab, file)) = with_one().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let release = lab.release(&[("web-stack.yml", &file)], &bad).await;
    let error = fails(&lab, &release, &["web", "with code", "last lines of its log"]).await;
    assert!(matches!(error, TargetError::Failed(_)));
    assert!(
        lab.plan(
            &lab.release(&[("web-stack.yml", &file)], &lab.pin("web", "1", lab.registry.digest("web", "1")))
                .await
        )
        .await
        .unwrap()
        .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_swarm_rolls_back_by_itself_is_no_success() {
    let Some((lab, file)) = with_one().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let file = file.replace("monitor: 300ms", "monitor: 2s, failure_action: rollback");
    let release = lab.release(&[("web-stack.yml", &file)], &bad).await;
    fails(&lab, &release, &["rolled back by Swarm itself", "with code"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_it_served_is_no_success() {
    let Some((mut lab, file)) = with_one().await else { return };
    lab.options.stable = Duration::from_secs(4);
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH_MS", "2000")).await;
    fails(&lab, &lab.release(&[("web-stack.yml", &file)], &bad).await, &["web", "code 3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_health_check_is_told_with_what_it_says() {
    let Some((lab, file)) = with_one().await else { return };
    let image = Image::server(&lab.parts, "bad").env("HEALTH", "fail").line(
        "HEALTHCHECK --interval=200ms --timeout=2s --retries=2 --start-period=1ms CMD [\"/server\", \"check\"]",
    );
    let bad = lab.push("web", "bad", image).await;
    fails(&lab, &lab.release(&[("web-stack.yml", &file)], &bad).await, &["is unhealthy, its check says"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_image_and_one_of_another_architecture_touch_nothing() {
    let Some((lab, file)) = with_one().await else { return };
    let tasks = async || lab.lines(&["stack", "ps", "-q", &lab.stack()]).await;
    let before = tasks().await;
    let missing = lab.pin("web", "9", Digest::of(b"no such image"));
    let release = lab.release(&[("web-stack.yml", &file)], &missing).await;
    fails(&lab, &release, &["does not have this image"]).await;
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let wrong = lab.pin("web", "wrong", lab.registry.as_architecture("web", "1", other));
    fails(&lab, &lab.release(&[("web-stack.yml", &file)], &wrong).await, &["built for", other]).await;
    assert_eq!(tasks().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_suitable_node_is_told_as_the_scheduler_says_it() {
    let Some((lab, file)) = with_one().await else { return };
    let two = lab.version("2").await;
    let placed = file.clone() + "      placement: {constraints: [node.labels.disk == ssd]}\n";
    let release = lab.release(&[("web-stack.yml", &placed)], &two).await;
    let error = fails(&lab, &release, &["no suitable node (scheduling constraints", "label a node"]).await;
    assert!(matches!(error, TargetError::Failed(_)));
    let big = file + "      resources: {reservations: {memory: 900G}}\n";
    let release = lab.release(&[("web-stack.yml", &big)], &two).await;
    let error = fails(&lab, &release, &["no suitable node (insufficient resources"]).await;
    assert!(matches!(error, TargetError::Blocked(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_that_fails_leaves_nothing() {
    let Some(lab) = Lab::new().await else { return };
    let bad = lab.push("web", "bad", Image::server(&lab.parts, "bad").env("CRASH", "start")).await;
    let release = lab.release(&[("web-stack.yml", &lab.beside(""))], &bad).await;
    let error = lab.roll_out(&release).await.unwrap_err().to_string();
    assert!(error.contains("code 1") && error.contains("crashing at start"), "{error}");
    let filter = format!("label=com.docker.stack.namespace={}", lab.stack());
    assert!(lab.lines(&["service", "ls", "-q", "--filter", &filter]).await.is_empty());
}
