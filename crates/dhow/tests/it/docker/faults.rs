//! A Docker Engine that stops, starts again, and whose disk is full; and Dhow itself stopped meanwhile.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dhow_testkit::engines::{self, Docker, Image};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::docker::support::{Yard, docker};
use crate::support::outside::{Fault, Outside, Part};
use crate::support::process::run;
use crate::support::serve::{Serve, Start};
use crate::support::visitors::Visitors;

/// One test at a time has the spare engine.
static TURN: Mutex<()> = Mutex::const_new(());

/// A shop on the spare engine.
struct Shop {
    yard: Yard,
    engine: Docker,
}

impl Shop {
    fn start(&self) -> Start<'_> {
        self.yard.serve().env("DOCKER_HOST", self.engine.host.as_str())
    }

    /// The container that runs, and visitors of its own address: no proxy of the engine's stands before it.
    async fn visitors(&self) -> (String, Visitors) {
        let filter = self.yard.of("stage");
        let id = docker(&self.engine, &["ps", "--quiet", "--no-trunc", "--filter", &filter]).await;
        let id = id.trim().to_owned();
        let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&self.engine, &["inspect", "--format", address, &id]).await;
        let address = address.trim();
        (id, Visitors::of(&format!("http://{address}:8080/version"), address, &[true, false]))
    }

    /// A version with a file of eight times 2 to this power bytes, which nothing makes smaller.
    fn heavy(&self, version: &str, power: u32) -> Image {
        let noise = self.yard.fleet.folder().join("noise");
        let words = (0..1u64 << power).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        std::fs::write(&noise, words.flat_map(u64::to_le_bytes).collect::<Vec<_>>()).unwrap();
        self.yard.version(version).file(&noise, "/noise")
    }

    async fn until(&self, serve: &Serve, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("status?service={}", self.yard.name);
        serve.until(&path, |s| holds(&s["deployments"][0])).await["deployments"][0].clone()
    }
}

/// A fleet whose deployments run on the spare engine.
async fn spare_yard() -> Option<(Yard, Docker)> {
    let engine = engines::spare()?;
    let mut yard = Yard::here().await?;
    yard.engines.push(engine.clone());
    Some((yard, engine))
}

/// A signal for the engine's process, which is waited for to end.
async fn end(engine: &Docker, signal: &str) {
    let pid = engine.pid.to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let gone = async {
        while PathBuf::from(format!("/proc/{pid}/fd/0")).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, gone).await.unwrap();
}

/// Starts the engine again.
async fn mend(engine: &mut Docker) {
    spawn_blocking(|| engines::mend("spare")).await.unwrap();
    *engine = engines::spare().unwrap();
}

/// Fills the engine's disk to the last byte.
fn fill(engine: &Docker) -> PathBuf {
    let path = engine.data().join("ballast");
    let mut ballast = File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![7; size];
        while ballast.write_all(&block).is_ok() {}
    }
    path
}

#[tokio::test]
async fn an_engine_that_stops_restarts_or_has_a_full_disk_is_told_and_what_runs_serves_on() {
    let _turn = TURN.lock().await;
    let Some((yard, engine)) = spare_yard().await else { return };
    let (registry, name) = (yard.registry, yard.name.clone());
    let compose = format!("services:\n  web:\n    image: {registry}/{name}/web\n    stop_grace_period: 1s\n");
    let (service, text) = yard.service("");
    let path = format!("services/{name}/compose/stage/compose.yaml");
    yard.fleet.push("the fleet begins", &[(&service, &text), (&path, &compose)]).await;
    let mut shop = Shop { yard, engine };
    let serve = shop.start().start().await;
    let version = |tag| shop.yard.version(tag);
    shop.yard.push(&serve, version("1.0.0"), "1.0.0").await;
    serve.reaches(&name, "stage", "1.0.0").await;

    // Killed while a version comes.
    let (_, visitors) = shop.visitors().await;
    end(&shop.engine, "-KILL").await;
    shop.yard.push(&serve, version("2.0.0"), "2.0.0").await;
    let row = shop.until(&serve, |row| row["reason"].to_string().contains("Docker Engine")).await;
    eprintln!("told: {}", row["reason"]);
    visitors.saw_only(&["1.0.0"]).await;
    mend(&mut shop.engine).await;
    serve.reaches(&name, "stage", "2.0.0").await;

    // Stopped and started: what runs is taken for what it is.
    let (container, visitors) = shop.visitors().await;
    end(&shop.engine, "-TERM").await;
    mend(&mut shop.engine).await;
    shop.until(&serve, |row| row["health"] == "healthy").await;
    visitors.saw_only(&["2.0.0"]).await;
    let (after, visitors) = shop.visitors().await;
    assert_eq!(
        after,
        container,
        "it was replaced: {:#}",
        serve.get("history?limit=1000&newest_first=true").await
    );

    // Its disk full while a version comes, and Dhow stopped in the middle of that rollout.
    let ballast = fill(&shop.engine);
    shop.yard.push(&serve, shop.heavy("3.0.0", 20), "3.0.0").await;
    let row = shop.until(&serve, |row| row["reason"].to_string().contains("no space left on device")).await;
    eprintln!("told: {}", row["reason"]);
    assert!(row["reason"].to_string().contains("disk there is full"), "{row:#}");
    let (code, took) = serve.terminate().await;
    assert!(code == Some(0) && took < Duration::from_secs(10), "{code:?} after {took:?}");
    let serve = shop.start().start().await;
    shop.until(&serve, |row| row["phase"] == "preparing").await;
    visitors.saw_only(&["2.0.0"]).await;
    std::fs::remove_file(ballast).unwrap();
    serve.reaches(&name, "stage", "3.0.0").await;
    let (_, visitors) = shop.visitors().await;
    visitors.saw_only(&["3.0.0"]).await;
    let queued = serve.events("rollout_queued").await;
    assert_eq!(queued.len(), 3, "{queued:#?}");
    assert!(serve.get("quarantine").await["quarantined"].as_array().unwrap().is_empty());
}

impl Shop {
    /// A build pushes a version into the registry outside.
    async fn push_to(&self, outside: &Outside, image: Image, tag: &'static str) {
        let Yard { docker, name, .. } = &self.yard;
        let at = format!("{}/{name}/web:{tag}", outside.good);
        let (engine, built) = (docker.clone(), at.clone());
        spawn_blocking(move || image.build(&engine, &built)).await.unwrap();
        let mut push = tokio::process::Command::from(docker.command());
        push.args(["push", "--quiet", &at]);
        run(push).await.ok();
    }
}

#[tokio::test]
async fn a_registry_that_fails_while_an_engine_pulls_from_it_is_blamed_and_no_version_is() {
    let _turn = TURN.lock().await;
    let Some((yard, engine)) = spare_yard().await else { return };
    let outside = Outside::open().await;
    let (name, at) = (yard.name.clone(), outside.address.clone());
    let (service, text) = yard.service("");
    let text = text.replace(&yard.registry.to_string(), &at);
    let compose = format!("services:\n  web:\n    image: {at}/{name}/web\n    stop_grace_period: 1s\n");
    let path = format!("services/{name}/compose/stage/compose.yaml");
    yard.fleet.push("the fleet begins", &[(&service, &text), (&path, &compose)]).await;
    let mut shop = Shop { yard, engine };
    let serve = shop.start().start().await;
    shop.push_to(&outside, shop.yard.version("1.0.0"), "1.0.0").await;
    serve.reaches(&name, "stage", "1.0.0").await;
    let page = Fault::Answer("200 OK\r\ncontent-type: text/html", "<html>Please log in</html>");
    let (unwell, cut) = ("did not answer as it should", "EOF");
    let faults = [
        ("2.0.0", Part::Manifest, Fault::Answer("500 Internal Server Error", "oops"), unwell),
        ("3.0.0", Part::Manifest, Fault::WrongContent, unwell),
        ("4.0.0", Part::Manifest, page, unwell),
        ("5.0.0", Part::Blob, Fault::Cut(100_000), cut),
    ];
    let mut before = "1.0.0";
    for (version, part, fault, words) in faults {
        let (_, visitors) = shop.visitors().await;
        // The engine is away until the version is on its way: what fails then is the engine's own pull.
        end(&shop.engine, "-KILL").await;
        shop.push_to(&outside, shop.heavy(version, 17), version).await;
        shop.until(&serve, |row| row["desired"][0]["tag"] == version && row["phase"] == "preparing").await;
        outside.breaks(part, fault);
        mend(&mut shop.engine).await;
        let is_told = |row: &Value| row["reason"].to_string().contains(words);
        let row = shop.until(&serve, |row| is_told(row) && row["reason"].to_string().contains("pull")).await;
        eprintln!("told: {}", row["reason"]);
        visitors.saw_only(&[before]).await;
        outside.heals();
        serve.reaches(&name, "stage", version).await;
        before = version;
    }
    assert!(serve.get("quarantine").await["quarantined"].as_array().unwrap().is_empty());
}
