//! Dhow is killed -9 in the middle of a command: nothing of it goes on.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use dhow_core::port::{Executor, PlaceLock};
use dhow_testkit::executor::{Told, gone, sh};

use crate::executor::support::{local, remote, server};

const WHERE: &str = "DHOW_TEST_KILLED";
const LOCK: &str = "DHOW_TEST_LOCK";

fn lock(name: &str, epoch: u64) -> PlaceLock {
    PlaceLock { name: format!("test/killed/{name}"), rollout: 1, epoch }
}

fn executor(place: &str) -> Box<dyn Executor> {
    match place.strip_prefix("local:") {
        Some(home) => Box::new(local(home.as_ref())),
        None => Box::new(remote(&server(1).unwrap(), "deploy")),
    }
}

/// No test of its own: the process that the tests below kill.
#[tokio::test]
async fn victim() {
    let Ok(place) = std::env::var(WHERE) else { return };
    let (told, mut heard) = Told::new();
    let command = sh(
        "trap '' HUP TERM; sleep 1000 & echo $!; setsid sleep 1000 & echo $!; echo $$; wait; sleep 1000",
        &[],
    );
    let (executor, lock) = (executor(&place), lock(&std::env::var(LOCK).unwrap(), 1));
    let say = async {
        for _ in 0..3 {
            println!("pid {}", heard.recv().await.unwrap());
        }
        std::future::pending::<()>().await;
    };
    let _ = tokio::join!(executor.run_locked(&lock, &command, &told), say);
}

async fn killed(place: &str) {
    let executor = executor(place);
    // A place never forgets an epoch.
    let (_folder, name) = crate::executor::support::scratch("killed");
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "executor::killed::victim", "--nocapture"]).env(WHERE, place).env(LOCK, &name);
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let pids = lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("pid ")?.1.to_owned()));
    let pids: Vec<String> = pids.take(3).collect();
    assert_eq!(pids.len(), 3);
    victim.kill().unwrap();
    victim.wait().unwrap();
    // The successor's command starts when all of them have gone.
    let text = r#"for pid do ! grep -qs "^State:.[^Z]" "/proc/$pid/status" || exit 9; done"#;
    let args: Vec<&str> = pids.iter().map(String::as_str).collect();
    let output = executor.run_locked(&lock(&name, 2), &sh(text, &args), &()).await.unwrap();
    assert!(output.ok(), "the command of the killed one overlapped its successor's");
    for pid in &pids {
        gone(executor.as_ref(), pid).await;
    }
}

#[tokio::test]
async fn a_killed_dhow_leaves_nothing_running_here() {
    let home = tempfile::tempdir().unwrap();
    killed(&format!("local:{}", home.path().display())).await;
}

#[tokio::test]
async fn a_killed_dhow_leaves_nothing_running_on_a_server() {
    if server(1).is_some() {
        killed("ssh").await;
    }
}

#[tokio::test]
async fn a_killed_shell_is_told_and_its_command_is_ended_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let executor = local(home.path());
    let (told, mut heard) = Told::new();
    // The supervisor is the parent of the command.
    let command = sh("echo $$; kill -9 $PPID; while :; do sleep 0.1; done", &[]);
    let lock = lock("shell", 1);
    let error = executor.run_locked(&lock, &command, &told).await.unwrap_err().to_string();
    assert!(error.contains("was killed"), "{error}");
    let pid = heard.recv().await.unwrap();
    let text = r#"! grep -qs "^State:.[^Z]" "/proc/$1/status""#;
    assert!(executor.run_locked(&lock, &sh(text, &[&pid]), &()).await.unwrap().ok(), "it still ran");
}
