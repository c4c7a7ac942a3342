//! Executors of the test's places.

use std::path::{Path, PathBuf};

use dhow_core::port::{Executor as _, ExecutorError};
use dhow_docker::executor::{LocalExecutor, Login, SshExecutor, SshSettings};
use dhow_testkit::engines::{self, Server};
use tempfile::TempDir;

/// A server of the tests, by its place in the list: tests that disturb one have it for themselves.
pub fn server(number: usize) -> Option<Server> {
    engines::servers().map(|servers| servers[number].clone())
}

pub fn login(server: &Server, user: &str) -> Login {
    Login {
        user: user.into(),
        host: server.address.to_string(),
        port: server.port,
        identity: Some(server.identity.clone()),
        fingerprint: Some(server.fingerprint.clone()),
    }
}

pub fn settings(server: &Server, user: &str) -> SshSettings {
    SshSettings {
        name: server.name.parse().unwrap(),
        login: login(server, user),
        jump: None,
        known_hosts: PathBuf::from("/dev/null"),
    }
}

pub fn remote(server: &Server, user: &str) -> SshExecutor {
    SshExecutor::new(&settings(server, user)).unwrap()
}

pub fn local(home: &Path) -> LocalExecutor {
    LocalExecutor::new(home.to_owned()).unwrap()
}

/// A folder for tests at a server, and here.
pub fn scratch(what: &str) -> (TempDir, String) {
    let folder = tempfile::Builder::new().prefix(&format!("dhow-{what}-")).tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

pub fn refusal<T: std::fmt::Debug>(result: Result<T, ExecutorError>) -> String {
    match result {
        Err(ExecutorError::Refused(message)) => message,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// Runs a program as root in the mount namespace of a server.
pub fn inside(server: &Server, args: &[&str]) {
    let pid = server.pid.to_string();
    let mut command = std::process::Command::new("nsenter");
    let output = command.args(["-t", &pid, "-m", "-p", "--"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns when the server is reached again.
pub async fn back(executor: &SshExecutor) {
    let mut tries = 0;
    while let Err(error) = executor.run(&dhow_testkit::executor::sh("true", &[]), &()).await {
        tries += 1;
        assert!(tries < 100, "it does not come back: {error}");
        // Until the next attempt is due the executor tells the last failure again.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

/// The third server is disturbed by one test at a time.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
