//! The whole voyage of an image: published, staged, approved, live; broken ones taken back; removed.

use std::net::{Ipv4Addr, SocketAddr};

use dhow_testkit::engines::{Image, Server};
use dhow_testkit::free_port;
use serde_json::Value;

use super::support::{Yard, docker, get};
use crate::support::serve::Serve;

/// Production takes what runs in stage after one vote.
const ROOT: &str =
    "environments:\n  stage: { update: commit }\n  production: { from: stage, approvals: { needed: 1 } }\n";
const CHECKS: &str =
    "checks:\n  - http: { url: \"http://{host}/healthz\" }\n    limit: 3s\n    retry: 100ms\n";

/// A shop in two environments, on a port each.
struct Shop {
    yard: Yard,
    stage: SocketAddr,
    production: SocketAddr,
    /// The manager of a swarm, reached over SSH; none: Compose on this machine.
    manager: Option<Server>,
}

impl Shop {
    async fn new() -> Option<Self> {
        let yard = Yard::here().await?;
        let port = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST)));
        Some(Self { yard, stage: port(), production: port(), manager: None })
    }

    async fn in_a_swarm() -> Option<Self> {
        let (yard, swarm) = Yard::with_swarm().await?;
        let at = |port: u16| SocketAddr::from((swarm.address, port));
        Some(Self { yard, stage: at(18_201), production: at(18_202), manager: Some(swarm.ssh) })
    }

    /// The file of an environment, and its text.
    fn file(&self, environment: &str, version: &str) -> (String, String) {
        let at = if environment == "stage" { self.stage } else { self.production };
        let Yard { registry, name, .. } = &self.yard;
        if self.manager.is_some() {
            let text = format!(
                "services:\n  web:\n    image: {registry}/{name}/web{version}\n    stop_grace_period: 1s\n    ports:\n      - \
                 {{ target: 8080, published: {}, mode: host }}\n    deploy:\n      restart_policy: {{ condition: any, delay: 500ms }}\n",
                at.port()
            );
            return (format!("services/{name}/swarm/{environment}/shop-stack.yaml"), text);
        }
        let text = format!(
            "services:\n  web:\n    image: {registry}/{name}/web{version}\n    ports: [\"{at}:8080\"]\n    volumes: \
             [\"rows:/rows\"]\n    stop_grace_period: 1s\nvolumes:\n  rows: {{}}\n"
        );
        (format!("services/{name}/compose/{environment}/compose.yaml"), text)
    }

    async fn begin(&self) -> Serve {
        let (service, text) = self.yard.service(CHECKS);
        let (stage, production) = (self.file("stage", ""), self.file("production", ""));
        let mut root = ROOT.to_owned();
        let mut start = self.yard.serve();
        if let Some(Server { name, address, port, fingerprint, identity, .. }) = &self.manager {
            root += &format!(
                "servers:\n  {name}: {{ ssh: \"deploy@{address}:{port}\", identity: key, fingerprint: \"{fingerprint}\", \
                 environments: [stage, production] }}\n"
            );
            let key = identity.display();
            start = start.config(&format!("identities: {{ key: {{ file: {key}, hosts: [{address}] }} }}\n"));
        }
        let files = [
            ("dhow.yaml", &*root),
            (&*service, &*text),
            (&*stage.0, &*stage.1),
            (&*production.0, &*production.1),
        ];
        self.yard.fleet.push("the fleet begins", &files).await;
        start.start().await
    }

    /// A version goes to production, and broken ones (with what is to be told of each) are taken back on stage.
    async fn voyage(&self, broken: Vec<(&str, Image, &[&str])>) -> Serve {
        let serve = self.begin().await;
        let Self { yard, stage, production, .. } = self;
        yard.push(&serve, yard.version("1.0.0"), "1.0.0").await;
        serve.reaches(&yard.name, "stage", "1.0.0").await;
        assert_eq!(get(*stage, "/version").await.trim(), "1.0.0");
        assert_eq!(get(*production, "/version").await, "", "production did not wait for a vote");
        serve.until("status", |s| s["proposals"].as_array().unwrap().len() == 1).await;
        serve.dhow(&["approve", &yard.name, "production"]).await.ok();
        serve.reaches(&yard.name, "production", "1.0.0").await;
        assert_eq!(get(*production, "/version").await.trim(), "1.0.0");
        let count = broken.len();
        for (tag, image, words) in broken {
            yard.push(&serve, image, tag).await;
            let quarantined = format!("{}/web:{tag}", yard.name);
            serve.until("quarantine", |q| q["quarantined"].to_string().contains(&quarantined)).await;
            serve.until("status", is_back("stage", "1.0.0")).await;
            assert_eq!(get(*stage, "/version").await.trim(), "1.0.0", "{tag}");
            let told = serve.row(&yard.name, "stage").await["reason"].to_string();
            assert!(words.iter().all(|word| told.contains(word)), "{words:?} are not in {told}");
        }
        let log = yard.fleet.log().await;
        assert_eq!(log.iter().filter(|subject| subject.contains("rolled back")).count(), count, "{log:?}");
        assert_eq!(get(*production, "/version").await.trim(), "1.0.0");
        serve
    }
}

fn is_back(environment: &'static str, version: &'static str) -> impl Fn(&Value) -> bool {
    move |status| {
        let rows = status["deployments"].as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| {
            row["environment"] == environment
                && row["phase"] == "rolled_back"
                && row["desired"][0]["tag"] == version
                && row["running"][0]["tag"] == version
        })
    }
}

#[tokio::test]
async fn an_image_goes_from_the_push_to_production_and_broken_ones_are_taken_back() {
    let Some(shop) = Shop::new().await else { return };
    let version = |tag| shop.yard.version(tag);
    shop.voyage(vec![
        ("1.1.0", version("1.1.0").env("CRASH", "start"), &["ended with code", "crashing at start"]),
        ("1.2.0", version("1.2.0").env("CRASH_MS", "300"), &["ended with code 3"]),
        ("1.3.0", version("1.3.0").env("HEALTH", "fail"), &["the check http"]),
    ])
    .await;
}

#[tokio::test]
async fn a_stack_goes_from_the_push_to_production_and_a_broken_one_is_taken_back() {
    let Some(shop) = Shop::in_a_swarm().await else { return };
    let version = |tag| shop.yard.version(tag);
    let serve = shop
        .voyage(vec![
            ("1.1.0", version("1.1.0").env("CRASH", "start"), &["crashing at start"]),
            ("1.3.0", version("1.3.0").env("HEALTH", "fail"), &["the check http"]),
        ])
        .await;
    let (path, _) = shop.file("stage", "");
    shop.yard.fleet.push("no stage any more", &[(&path, "")]).await;
    serve.until("history?limit=1000", |h| h["events"].to_string().contains("\"kind\":\"removed\"")).await;
    let stacks = docker(&shop.yard.engines[1], &["stack", "ls", "--format", "{{.Name}}"]).await;
    assert!(!stacks.contains(&format!("stage_{}", shop.yard.name)), "{stacks}");
    assert!(stacks.contains(&format!("production_{}", shop.yard.name)), "{stacks}");
}

#[tokio::test]
async fn a_version_that_is_not_there_is_told_and_touches_nothing() {
    let Some(shop) = Shop::new().await else { return };
    let serve = shop.begin().await;
    let yard = &shop.yard;
    yard.push(&serve, yard.version("1.0.0"), "1.0.0").await;
    serve.reaches(&yard.name, "stage", "1.0.0").await;
    let container = yard.docker(&["ps", "--quiet", "--filter", &yard.of("stage")]).await;
    let missing = format!(":9.9.9@sha256:{}", "0".repeat(64));
    let (path, text) = shop.file("stage", &missing);
    yard.fleet.push("a version that nobody published", &[(&path, &text)]).await;
    let is_told = |h: &Value| h["events"].to_string().contains("does not have this image");
    serve.until("history?limit=1000", is_told).await;
    let runs = |s: &Value| {
        let rows = s["deployments"].as_array().cloned().unwrap_or_default();
        let mut stage = rows.iter().filter(|row| row["environment"] == "stage");
        stage.any(|row| row["desired"] == row["running"] && row["running"][0]["tag"] == "1.0.0")
    };
    serve.until("status", runs).await;
    let after = yard.docker(&["ps", "--quiet", "--filter", &yard.of("stage")]).await;
    assert_eq!(after, container, "the container was touched");
}

#[tokio::test]
async fn a_container_killed_by_hand_is_told_and_runs_again_within_seconds() {
    let Some(shop) = Shop::new().await else { return };
    let serve = shop.begin().await;
    let yard = &shop.yard;
    yard.push(&serve, yard.version("1.0.0"), "1.0.0").await;
    serve.reaches(&yard.name, "stage", "1.0.0").await;
    yard.docker(&["kill", &format!("stage_{}-web-1", yard.name)]).await;
    serve.until("history?limit=1000", |h| h.to_string().contains("mend_done")).await;
    serve.until("status", |s| s["deployments"].to_string().contains("\"health\":\"healthy\"")).await;
    assert_eq!(get(shop.stage, "/version").await.trim(), "1.0.0");
}

#[tokio::test]
async fn the_folder_goes_and_so_does_what_ran_but_not_its_data() {
    let Some(shop) = Shop::new().await else { return };
    let serve = shop.begin().await;
    let yard = &shop.yard;
    yard.push(&serve, yard.version("1.0.0"), "1.0.0").await;
    serve.reaches(&yard.name, "stage", "1.0.0").await;
    yard.fleet.push("no stage any more", &[(&shop.file("stage", "").0, "")]).await;
    serve.until("history?limit=1000", |h| h["events"].to_string().contains("\"kind\":\"removed\"")).await;
    let of = yard.of("stage");
    let of = ["--quiet", "--filter", &of];
    assert_eq!(yard.docker(&[&["ps", "--all"], &of[..]].concat()).await, "");
    assert_ne!(yard.docker(&[&["volume", "ls"], &of[..]].concat()).await, "", "its data went");
}
