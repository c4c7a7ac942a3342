//! `dhow demo --compose`: the voyage of the demo on a real engine.

use std::time::Duration;

use dhow_testkit::engines;
use tokio::process::Command;

use crate::support::process::{Said, dhow};

/// More than the other commands may take: an image of the whole program is made, pushed and pulled.
const DEADLINE: Duration = Duration::from_secs(120);

async fn demo(docker_host: &str) -> Option<Said> {
    let compose = engines::compose()?;
    let home = tempfile::tempdir().unwrap();
    let plugins = home.path().join(".docker/cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    std::os::unix::fs::symlink(&compose.plugin, plugins.join("docker-compose")).unwrap();
    let mut command: Command = dhow(home.path());
    command.env("DOCKER_HOST", docker_host);
    command.args(["demo", "--compose", "--once", "--yes", "--output", "json"]);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    Some(Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[tokio::test]
async fn the_demo_delivers_images_and_leaves_nothing_on_the_engine() {
    let Some(docker) = engines::docker() else { return };
    let Some(said) = demo(&docker.host).await else { return };
    let said = said.ok();
    assert!(said.stderr.contains("cannot start: the database has no tables"), "{}", said.stderr);
    let report = said.json();
    assert_eq!(report["versions"].as_array().unwrap().len(), 3);
    for list in [&["ps", "--all"][..], &["images"], &["network", "ls"]] {
        let left = docker.command().args(list).output().unwrap();
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        assert!(!left.contains("demo"), "{left}");
    }
}

#[tokio::test]
async fn without_an_engine_it_is_said_what_is_missing() {
    let Some(said) = demo("unix:///nowhere/docker.sock").await else { return };
    said.refused(&[
        "the Docker Engine does not answer",
        "apt install docker.io",
        "`dhow demo` needs neither",
    ]);
}
