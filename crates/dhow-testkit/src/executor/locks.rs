//! Locks: exclusive, fenced by their epoch, and never held by what was given up.

use std::time::SystemTime;

use dhow_core::port::{Executor, ExecutorError, PlaceLock};

use super::{Told, gone, sh};

/// A lock that nobody had before: a place never forgets an epoch.
pub(super) fn fresh(name: &str) -> impl Fn(u64) -> PlaceLock + use<> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    let name = format!("test/{name}/{}", now.as_nanos());
    move |epoch| PlaceLock { name: name.clone(), rollout: 7, epoch }
}

/// Commands under one lock never overlap, through one executor or through two of the same place.
///
/// # Panics
///
/// Where they do.
pub async fn two_commands_never_overlap(one: &dyn Executor, other: &dyn Executor, scratch: &str) {
    let held = fresh("overlap")(1);
    let text = r#"mkdir -p "$1" && mkdir "$1/in" || exit 9; sleep 0.3; rmdir "$1/in""#;
    let command = sh(text, &[scratch]);
    let outputs = tokio::join!(
        one.run_locked(&held, &command, &()),
        one.run_locked(&held, &command, &()),
        other.run_locked(&held, &command, &()),
        other.run_locked(&held, &command, &()),
    );
    for output in [outputs.0, outputs.1, outputs.2, outputs.3] {
        let output = output.expect("it runs");
        assert!(output.ok(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A lower epoch is refused, and its command does not run.
///
/// # Panics
///
/// Where it runs.
pub async fn a_lower_epoch_is_refused(one: &dyn Executor, other: &dyn Executor, scratch: &str) {
    let (lock, mark) = (fresh("fence"), format!("{scratch}/fenced"));
    one.run_locked(&lock(5), &sh("true", &[]), &()).await.expect("the first epoch");
    let refused = other.run_locked(&lock(4), &sh(r#": >"$1""#, &[&mark]), &()).await;
    assert!(matches!(refused, Err(ExecutorError::Fenced { seen: 5, ours: 4 })), "{refused:?}");
    assert_eq!(one.read(&mark).await.expect("it can be looked for"), None);
    other.run_locked(&lock(5), &sh("true", &[]), &()).await.expect("an equal one goes on");
}

/// A command of an older epoch is ended before one of a newer epoch starts.
///
/// # Panics
///
/// Where they overlap.
pub async fn a_newer_epoch_ends_the_older_command(one: &dyn Executor, other: &dyn Executor) {
    let (told, mut heard) = Told::new();
    let command = sh("echo $$; while :; do sleep 0.1; done", &[]);
    let lock = fresh("takeover");
    let (held, newer) = (lock(1), lock(2));
    let older = one.run_locked(&held, &command, &told);
    let next = async {
        let pid = heard.recv().await.expect("it runs");
        let text = r#"! grep -qs "^State:.[^Z]" "/proc/$1/status""#;
        other.run_locked(&newer, &sh(text, &[&pid]), &()).await
    };
    let (older, next) = tokio::join!(older, next);
    assert!(!older.is_ok_and(|output| output.ok()), "the older one did not end well");
    assert!(next.expect("the newer one runs").ok(), "the older command still ran");
}

/// After a future was dropped, its lock can be had again, and only when its command has ended.
///
/// # Panics
///
/// Where that is not so.
pub async fn a_dropped_command_leaves_its_lock(executor: &dyn Executor) {
    let (told, mut heard) = Told::new();
    let held = fresh("dropped")(1);
    let command = sh("trap '' TERM HUP; echo $$; while :; do sleep 0.1; done", &[]);
    let pid = tokio::select! {
        ended = executor.run_locked(&held, &command, &told) => panic!("it ended: {ended:?}"),
        pid = heard.recv() => pid.expect("it runs"),
    };
    let text = r#"! grep -qs "^State:.[^Z]" "/proc/$1/status""#;
    let output = executor.run_locked(&held, &sh(text, &[&pid]), &()).await.expect("it runs");
    assert!(output.ok(), "the dropped command still ran");
    gone(executor, &pid).await;
}
