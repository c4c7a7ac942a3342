//! One deployment on three servers over SSH: one by one, and whatever happens to them on the way.

use std::net::SocketAddr;

use dhow_testkit::deaths;
use dhow_testkit::engines::Server;
use serde_json::Value;
use tokio::sync::RwLock;

use super::support::{Yard, docker, get};
use crate::support::serve::{Serve, Start};

/// The port that is published on each server.
const PORT: u16 = 18_080;

struct Three {
    yard: Yard,
    servers: Vec<Server>,
}

/// Tests share the servers, with services of their own; who cuts one off has them alone.
pub static TURN: RwLock<()> = RwLock::const_new(());

impl Three {
    async fn new() -> Option<Self> {
        let (yard, servers) = Yard::with_servers().await?;
        Some(Self { yard, servers })
    }

    fn start(&self) -> Start<'_> {
        let hosts: Vec<String> = self.servers.iter().map(|server| server.address.to_string()).collect();
        let key = self.servers[0].identity.display();
        let identities = format!("identities: {{ key: {{ file: {key}, hosts: [{}] }} }}\n", hosts.join(", "));
        self.yard.serve().config(&identities)
    }

    /// A service on all three, which listens on a port of its own.
    async fn begin(&self) -> Serve {
        let mut root = "environments:\n  stage: { update: commit }\nservers:\n".to_owned();
        for Server { name, address, port, fingerprint, .. } in &self.servers {
            root += &format!(
                "  {name}: {{ ssh: \"deploy@{address}:{port}\", identity: key, fingerprint: \"{fingerprint}\", environments: [stage] }}\n"
            );
        }
        let Yard { registry, name, .. } = &self.yard;
        let compose = format!(
            "services:\n  web:\n    image: {registry}/{name}/web\n    ports: [\"{}:8080\"]\n    stop_grace_period: 1s\n",
            self.port()
        );
        let (service, text) = self.yard.service("");
        let path = format!("services/{name}/compose/stage/compose.yaml");
        self.yard
            .fleet
            .push("the fleet begins", &[("dhow.yaml", &root), (&service, &text), (&path, &compose)])
            .await;
        let serve = self.start().start().await;
        self.yard.push(&serve, self.yard.version("1.0.0"), "1.0.0").await;
        serve.reaches(name, "stage", "1.0.0").await;
        serve
    }

    /// Tests run beside each other on the same servers.
    fn port(&self) -> u16 {
        let number: u16 = self.yard.name.rsplit('x').next().unwrap().parse().unwrap();
        PORT + number
    }

    /// What each server answers with.
    async fn serving(&self) -> Vec<String> {
        let mut all = Vec::new();
        for server in &self.servers {
            let at = SocketAddr::from((server.address, self.port()));
            all.push(get(at, "/version").await.trim().to_owned());
        }
        all
    }

    /// Waits until the row in `status` is so.
    async fn until(&self, serve: &Serve, holds: impl Fn(&Value) -> bool) -> Value {
        let name = &self.yard.name;
        serve.until(&format!("status?service={name}"), |s| holds(&s["deployments"][0])).await["deployments"]
            [0]
        .clone()
    }

    /// The servers' containers of the service that run now.
    async fn containers(&self) -> usize {
        let mut all = 0;
        for server in &self.servers {
            all += docker(&server.docker, &["ps", "--quiet", "--filter", &self.yard.of("stage")])
                .await
                .lines()
                .count();
        }
        all
    }
}

/// The keys of steps that were begun, in order, without their releases: `switch@s1`.
async fn begun(serve: &Serve) -> Vec<String> {
    let started = serve.events("step_started").await;
    let keys =
        started.iter().filter(|event| event["undo"] == false).map(|event| event["key"].as_str().unwrap());
    keys.map(|key| key.split_once(':').unwrap().1.to_owned()).collect()
}

#[tokio::test]
async fn servers_are_updated_one_by_one_and_a_version_that_fails_on_one_goes_back_on_all() {
    let _turn = TURN.read().await;
    let Some(three) = Three::new().await else { return };
    let serve = three.begin().await;
    let order: Vec<String> =
        begun(&serve).await.into_iter().filter(|key| !key.starts_with(['f', 'p'])).collect();
    assert_eq!(order, ["switch@s1", "stable@s1", "switch@s2", "stable@s2", "switch@s3", "stable@s3"]);
    assert_eq!(three.serving().await, ["1.0.0"; 3]);

    // The port is taken on the last one only: by then, the first two run the new one.
    let other = three.servers[2].docker.clone();
    let yard = &three.yard;
    let row = serve.row(&yard.name, "stage").await;
    let digest = row["running"][0]["digest"].as_str().unwrap();
    let image = format!("{}/{}/web@{digest}", yard.registry, yard.name);
    let taken = format!("{}:8080", three.port() + 500);
    let blocker = format!("blocker{}", yard.name);
    docker(&other, &["run", "--detach", "--name", &blocker, "--publish", &taken, &image]).await;
    let compose = format!("services/{}/compose/stage/compose.yaml", yard.name);
    let text = yard.fleet.read(&compose).await;
    let moved = text.replace(&format!("{}:8080", three.port()), &taken);
    let crashing = moved.replace("stop_grace_period", "environment: { MARK: \"2\" }\n    stop_grace_period");
    yard.fleet.push("another port", &[(&compose, &crashing)]).await;
    let row = three.until(&serve, |row| row["reason"].to_string().contains("s3")).await;
    assert!(row["reason"].to_string().contains(&blocker), "who has the port is not told: {row:#}");
    drop(serve.dhow(&["status"]).await);
    docker(&other, &["rm", "--force", &blocker]).await;
    yard.fleet.push("back", &[(&compose, &text)]).await;
    three.until(&serve, |row| row["health"] == "healthy" && row["desired"] == row["running"]).await;
    assert_eq!(three.containers().await, 3);
}

#[tokio::test]
async fn a_version_that_crashes_goes_live_nowhere_else() {
    let _turn = TURN.read().await;
    let Some(three) = Three::new().await else { return };
    let serve = three.begin().await;
    three.yard.push(&serve, three.yard.version("1.1.0").env("CRASH", "start"), "1.1.0").await;
    let is_back = |row: &Value| row["phase"] == "rolled_back" && row["desired"][0]["tag"] == "1.0.0";
    let row = three.until(&serve, is_back).await;
    assert_eq!(three.serving().await, ["1.0.0"; 3]);
    let reason = row["reason"].to_string();
    assert!(reason.contains("s1: web") && reason.contains("not touched: s2, s3"), "{reason}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_waited_for_and_told() {
    let _turn = TURN.write().await;
    let Some(three) = Three::new().await else { return };
    let serve = three.begin().await;
    let cut = three.servers[1].cut();
    three.yard.push(&serve, three.yard.version("1.1.0"), "1.1.0").await;
    let told = |row: &Value| row["reason"].to_string().contains("s2");
    let row = three.until(&serve, told).await;
    assert!(row["reason"].to_string().contains("cannot be reached"), "{row:#}");
    assert_eq!(three.serving_at(0).await, "1.0.0", "a server was switched although another one is away");
    drop(cut);
    serve.reaches(&three.yard.name, "stage", "1.1.0").await;
    assert_eq!(three.serving().await, ["1.1.0"; 3]);
}

impl Three {
    async fn serving_at(&self, at: usize) -> String {
        let at = SocketAddr::from((self.servers[at].address, self.port()));
        get(at, "/version").await.trim().to_owned()
    }

    /// Publishes, kills Dhow when such a step begins, and starts it again.
    async fn killed_at(&self, serve: Serve, version: &str, step: &str) -> Serve {
        let newest =
            serve.get("history?limit=1&newest_first=true").await["events"][0]["seq"].as_u64().unwrap();
        self.yard.push(&serve, self.yard.version(version), version).await;
        let is_it = |event: &Value| {
            event["kind"] == "step_started" && event["key"].to_string().contains(&format!(":{step}"))
        };
        let path = format!("history?limit=1000&after={newest}");
        serve.until(&path, |h| h["events"].as_array().unwrap().iter().any(is_it)).await;
        serve.kill().await;
        self.start().start().await
    }
}

#[tokio::test]
async fn killed_at_any_step_on_any_server_it_goes_on_and_ends_at_the_new_version_on_all() {
    let _turn = TURN.read().await;
    let Some(three) = Three::new().await else { return };
    let mut serve = three.begin().await;
    let all = ["files@s2", "pull@s3", "switch@s1", "switch@s2", "stable@s2", "switch@s3", "prune@s1"];
    let steps = deaths(&all, 3);
    for (n, step) in steps.iter().copied().enumerate() {
        let version = format!("2.{n}.0");
        serve = three.killed_at(serve, &version, step).await;
        serve.reaches(&three.yard.name, "stage", &version).await;
        assert_eq!(three.serving().await, [version.as_str(); 3], "killed at {step}");
        assert_eq!(three.containers().await, 3, "killed at {step}");
    }
    let ends = serve.events("rollout_moved").await;
    let succeeded = ends.iter().filter(|event| event["to"] == "succeeded").count();
    assert_eq!(succeeded, 1 + steps.len(), "each version was rolled out once");
}
