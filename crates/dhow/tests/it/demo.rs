//! `dhow demo`, as a person and as CI starts it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::process::{Said, dhow, run};

async fn demo(arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().unwrap();
    let mut command = dhow(home.path());
    command.arg("demo").args(arguments);
    run(command).await
}

/// The steps of a version in an environment, as their names.
fn steps(version: &serde_json::Value, environment: &str) -> Vec<String> {
    let steps = version["environments"][environment].as_object();
    steps.map(|steps| steps.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn the_demo_delivers_two_versions_takes_a_third_back_and_fails_no_request() {
    let report = demo(&["--once", "--yes", "--output", "json"]).await.ok().json();
    assert_eq!(report["failed_requests"], 0);
    assert!(report["requests"].as_u64().unwrap() > 0);
    let versions = report["versions"].as_array().unwrap();
    let names: Vec<_> = versions.iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(names, ["1.0.0", "2.0.0", "3.0.0"]);
    let good = ["published", "selected", "committed", "prepared", "checked", "switched", "verified"];
    for version in &versions[..2] {
        for environment in ["stage", "production"] {
            let mut steps = steps(version, environment);
            steps.sort();
            let mut wanted = good;
            wanted.sort_unstable();
            assert_eq!(steps, wanted, "{version}");
        }
    }
    let bad = steps(&versions[2], "stage");
    for (step, there) in [("failed", true), ("rolled_back", true), ("checked", false), ("switched", false)] {
        assert_eq!(bad.iter().any(|s| s == step), there, "{step}: {bad:?}");
    }
    assert!(steps(&versions[2], "production").is_empty());
    let digest = versions[0]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
}

#[tokio::test]
async fn a_demo_without_anybody_to_approve_says_what_to_do_and_fails() {
    demo(&["--once"]).await.refused(&["nobody approved", "--yes"]);
}

#[tokio::test]
async fn the_demo_keeps_its_folder_goes_on_serving_and_what_it_says_to_type_next_works() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo").to_string_lossy().into_owned();
    let mut command = dhow(folder.path());
    command.args(["demo", "--yes", "--dir", &dir]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    let publish = timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            told.push(line);
            if let Some((_, rest)) = told.last().unwrap().split_once(" dhow publish ./my-folder --to ") {
                return Some(rest.to_owned());
            }
        }
        None
    });
    let to = publish.await.unwrap().unwrap_or_else(|| panic!("nothing to type next: {told:#?}"));
    let state = format!("{dir}/state");
    let own = folder.path().join("my-folder");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("index.html"), "<h1>mine</h1>").unwrap();
    std::fs::write(own.join("health"), "ok").unwrap();
    let mut command = dhow(folder.path());
    let token = std::fs::read_to_string(format!("{state}/admin.token")).unwrap();
    command.env("DHOW_TOKEN", token.trim()).arg("publish").arg(&own).args(["--to", &to]);
    run(command).await.ok();
    let mut command = dhow(folder.path());
    command.args(["wait", "site", "stage", "--version", "4.0.0", "--state", &state]);
    run(command).await.ok();

    let again = demo(&["--once", "--yes", "--dir", &dir]).await;
    again.refused(&["has a demo in it already", "--dir"]);

    let mut kill = tokio::process::Command::new("kill");
    kill.args(["-INT", &child.id().unwrap().to_string()]);
    run(kill).await.ok();
    let status = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut summary = String::new();
    child.stdout.take().unwrap().read_to_string(&mut summary).await.unwrap();
    assert!(!summary.is_empty());
    assert!(
        std::path::Path::new(&dir).join("fleet.git/HEAD").is_file(),
        "the folder that was asked for is kept"
    );
}
