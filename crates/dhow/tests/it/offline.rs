//! Commands that need no control plane: validate, policy select, update.

use std::path::Path;

use crate::support::process::{Said, dhow, run, run_with};

async fn offline(folder: &Path, arguments: &[&str], input: &str) -> Said {
    let mut command = dhow(folder);
    command.current_dir(folder).args(arguments);
    run_with(command, input).await
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The layout of a real fleet, with no file of ours.
const REAL: [(&str, &str); 10] = [
    ("README.md", "# Deployments\n"),
    ("conf/nginx/sites-enabled/camerdevs.com", "server {}\n"),
    (
        "services/camerdevs/compose/stage/camerdevs-stack.yml",
        "services:\n  web:\n    image: ghcr.io/acme/camerdevs:1.0.0\n",
    ),
    (
        "services/camerdevs/compose/prod/camerdevs-stack.yml",
        "services:\n  web:\n    image: ghcr.io/acme/camerdevs:1.0.0\n",
    ),
    (
        "services/camerdevs/compose/prod/sami.yaml",
        "version: v1beta\nservice_name: \"camerdevs\"\ntype: \"swarm\"\npr_deploy: true #is set to false by default\n",
    ),
    (
        "services/caparledev-bot/compose/stage/caparledev-bot-compose.yml",
        "services:\n  bot:\n    image: ghcr.io/acme/bot:2\n",
    ),
    (
        "services/portainer/compose/prod/portainer-agent-stack.yml",
        "services:\n  agent:\n    image: portainer/agent:2.19\n",
    ),
    (
        "services/prometheus/compose/prod/prometheus-stack.yml",
        "services:\n  prometheus:\n    image: prom/prometheus:v2.50.0\n",
    ),
    ("services/prometheus/compose/prod/grafana/datasource.yml", "apiVersion: 1\n"),
    ("services/prometheus/compose/prod/prometheus/prometheus.yml", "global: {}\n"),
];

#[tokio::test]
async fn a_real_fleet_validates_with_its_types_environments_and_project_names() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &REAL);
    let said = offline(folder.path(), &["validate"], "").await.ok();
    assert!(said.stderr.contains("5 deployments, 0 errors"), "{}{}", said.stdout, said.stderr);
    let report = offline(folder.path(), &["validate", "--output", "json"], "").await.ok().json();
    let rows: Vec<[&str; 4]> = report["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| ["service", "type", "environment", "project"].map(|key| d[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ["camerdevs", "swarm", "production", "prod_camerdevs"],
            ["camerdevs", "swarm", "stage", "stage_camerdevs"],
            ["caparledev-bot", "compose", "stage", "stage_caparledev-bot"],
            ["portainer", "swarm", "production", "prod_portainer"],
            ["prometheus", "swarm", "production", "prod_prometheus"],
        ]
    );
}

#[tokio::test]
async fn validate_tells_every_error_with_its_place_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("dhow.yaml", "servrs: {}\nregistries:\n  a.dev: { credentials: hunter2hunter2 }\n"),
            (
                "services/shop/dhow.yaml",
                "artifacts:\n  web: { bundle: a.dev/web, policy: { semver: nonsense } }\n",
            ),
            ("services/shop/static_file/stage/index.html", "x\n"),
        ],
    );
    let said = offline(folder.path(), &["validate"], "").await;
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    let expected = [
        "dhow.yaml:1:1",
        "did you mean \"servers\"?",
        "dhow.yaml:3:",
        "literal secret is refused",
        "services/shop/dhow.yaml:2:",
    ];
    for word in expected {
        assert!(said.stdout.contains(word), "{word} is not in {}", said.stdout);
    }
    assert!(!said.stdout.contains("hunter2"), "a secret is shown: {}", said.stdout);
    let report = offline(folder.path(), &["validate", "--output", "json"], "").await.json();
    let found = report["diagnostics"].as_array().unwrap();
    let at = |line: u64| {
        found.iter().any(|d| d["file"] == "dhow.yaml" && d["line"] == line && d["severity"] == "error")
    };
    assert!(at(1) && at(3), "{report:#}");
}

#[tokio::test]
async fn policy_select_prints_the_tag_and_exits_1_with_a_message_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let tags = "v1.0.0\nv1.9.0\nv2.0.0\nlatest\n";
    let said = offline(folder.path(), &["policy", "select", "--semver", "^1"], tags).await.ok();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("v1.9.0\n", ""));
    let said = offline(folder.path(), &["policy", "select", "--semver", "^3"], tags).await;
    assert_eq!(said.stdout, "");
    said.refused(&["policy semver ^3 accepts none of 4 tags"]);
    let filter =
        ["policy", "select", "--numerical", "asc", "--filter", "^main-(?<ts>[0-9]+)$", "--extract", "$ts"];
    assert_eq!(offline(folder.path(), &filter, "main-9\nmain-10\nx\n").await.ok().stdout, "main-10\n");
    let said =
        offline(folder.path(), &["policy", "select", "--semver", "^1", "--numerical", "asc"], tags).await;
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[tokio::test]
async fn update_changes_one_scalar_and_a_dry_run_shows_it_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let before = "services:\n  web: # the front\n    image: 'ghcr.io/acme/shop:1.0.0' # {\"$imagepolicy\": \"flux:shop\"}\n";
    write(folder.path(), &[("compose.yaml", before), ("other.yaml", "image: ghcr.io/acme/other:1\n")]);
    let set = "flux:shop=ghcr.io/acme/shop:1.1.0";
    let said = offline(folder.path(), &["update", "--set", set, "--dry-run"], "").await.ok();
    let diff = "-    image: 'ghcr.io/acme/shop:1.0.0' # {\"$imagepolicy\": \"flux:shop\"}\n+    image: \
                'ghcr.io/acme/shop:1.1.0' # {\"$imagepolicy\": \"flux:shop\"}\n";
    assert!(said.stdout.contains(diff), "{}", said.stdout);
    let text = || std::fs::read_to_string(folder.path().join("compose.yaml")).unwrap();
    assert_eq!(text(), before);
    let said = offline(folder.path(), &["update", "--set", set], "").await.ok();
    assert!(said.stdout.contains("compose.yaml") && !said.stdout.contains("other.yaml"), "{}", said.stdout);
    assert_eq!(text(), before.replace("1.0.0", "1.1.0"));
    offline(folder.path(), &["update", "--set", "flux:nobody=ghcr.io/acme/x:1"], "")
        .await
        .refused(&["flux:nobody"]);
}

#[tokio::test]
async fn a_command_without_an_address_says_how_to_give_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = dhow(folder.path());
    command.arg("status");
    run(command).await.refused(&["DHOW_URL", "--state DIR"]);
}
