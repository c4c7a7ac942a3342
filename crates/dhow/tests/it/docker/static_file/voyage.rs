//! The voyage to servers whose own web server serves the site.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use dhow_testkit::engines::{self, Server};

use super::yard::{Yard, fresh};
use crate::docker::servers::TURN;
use crate::docker::support::get;
use crate::support::fleet::{Fleet, HOST};
use crate::support::serve::Serve;

/// A web server on a server. It enters its root once and would never see `current` move: so links in its root lead there.
struct Httpd(Child);

/// The port that the web servers listen on.
const PORT: u16 = 18_900;

impl Httpd {
    fn start(yard: &Yard) -> Option<Self> {
        let busybox = engines::parts()?.busybox;
        let root = yard.files().join("www");
        std::fs::create_dir(&root).unwrap();
        for name in ["health", "index.html"] {
            std::os::unix::fs::symlink(format!("../current/{name}"), root.join(name)).unwrap();
        }
        let root = format!("{}/www", yard.directory);
        let mut command = Command::new("nsenter");
        command.args(["-t", &yard.server.pid.to_string(), "-m", "-n", "--"]).arg(busybox);
        command.args(["httpd", "-f", "-p", &format!("0.0.0.0:{PORT}"), "-h", &root]);
        Some(Self(command.stdin(Stdio::null()).spawn().unwrap()))
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

async fn served(yards: &[Yard]) -> Vec<String> {
    let mut all = Vec::new();
    for yard in yards {
        let at = SocketAddr::from((yard.server.address, PORT));
        all.push(get(at, "/index.html").await.trim().to_owned());
    }
    all
}

async fn publish(serve: &Serve, name: &str, version: &str, health: &str) {
    let files = [("index.html", format!("{version}\n")), ("health", format!("{health}\n"))];
    serve.publish(&files, &format!("{name}/web:{version}")).await.ok();
}

#[tokio::test]
async fn a_site_goes_to_three_servers_and_is_served_by_their_own_web_servers() {
    let _turn = TURN.read().await;
    let Some(servers) = engines::servers() else { return };
    let name = fresh();
    let yards: Vec<Yard> = servers.iter().map(|server| Yard::new(server, &name)).collect();
    // Another tool's release is live.
    for yard in &yards {
        std::fs::create_dir(yard.files().join("old")).unwrap();
        std::os::unix::fs::symlink("old", yard.files().join("current")).unwrap();
    }
    let mut root = "environments:\n  stage: { update: commit }\nservers:\n".to_owned();
    for Server { name, address, port, fingerprint, .. } in &servers {
        root += &format!(
            "  {name}: {{ ssh: \"deploy@{address}:{port}\", identity: key, fingerprint: \"{fingerprint}\", environments: [stage] }}\n"
        );
    }
    let service = format!(
        "artifacts:\n  web: {{ bundle: {HOST}/{name}/web, policy: {{ semver: \"*\" }} }}\nchecks:\n  - http: {{ url: \
         \"http://{{host}}/health\", contains: ok }}\n    limit: 2s\n    retry: 100ms\n"
    );
    let own = format!("bundle: {HOST}/{name}/web\ndirectory: /srv/{name}\nfront: 127.0.0.1:{PORT}\n");
    let fleet = Fleet::empty().await;
    let (service_file, own_file) =
        (format!("services/{name}/dhow.yaml"), format!("services/{name}/static_file/stage/dhow.yaml"));
    let files = [("dhow.yaml", &*root), (&*service_file, &*service), (&*own_file, &*own)];
    fleet.push("the fleet begins", &files).await;
    let mut daemons = Vec::new();
    for yard in &yards {
        daemons.push(Httpd::start(yard));
    }
    if daemons.iter().any(Option::is_none) {
        return;
    }
    let hosts: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
    let identities = format!(
        "identities: {{ key: {{ file: {}, hosts: [{}] }} }}\n",
        servers[0].identity.display(),
        hosts.join(", ")
    );
    let serve = fleet.serve().config(&identities).start().await;
    publish(&serve, &name, "1.0.0", "ok").await;
    // Something that is not ours is current: nothing is touched until a person says so.
    let stalled = |s: &serde_json::Value| s["deployments"][0]["phase"] == "stalled";
    serve.until(&format!("status?service={name}"), stalled).await;
    serve.dhow(&["sync", &name, "stage"]).await.ok();
    serve.reaches(&name, "stage", "1.0.0").await;
    assert_eq!(served(&yards).await, ["1.0.0"; 3]);

    publish(&serve, &name, "1.1.0", "ok").await;
    serve.reaches(&name, "stage", "1.1.0").await;
    assert_eq!(served(&yards).await, ["1.1.0"; 3]);
    let switched: Vec<String> =
        serve.events("step_done").await.iter().map(|e| e["key"].to_string()).collect();
    let order: Vec<&str> =
        switched.iter().filter_map(|key| key.split_once(":switch@").map(|(_, at)| at)).collect();
    assert_eq!(order.len(), 6, "{switched:?}");

    // A candidate that fails its check is sent, and never served.
    publish(&serve, &name, "2.0.0", "no").await;
    let quarantined = format!("{name}/web:2.0.0");
    serve.until("quarantine", |q| q["quarantined"].to_string().contains(&quarantined)).await;
    assert_eq!(served(&yards).await, ["1.1.0"; 3]);
    let is_back = |s: &serde_json::Value| s["deployments"][0]["desired"][0]["tag"] == "1.1.0";
    serve.until(&format!("status?service={name}"), is_back).await;

    // The folder goes from the fleet: what is ours goes from the servers, and nothing else.
    fleet.push("no site any more", &[(&own_file, "")]).await;
    serve.until("history?limit=1000", |h| h.to_string().contains("\"kind\":\"removed\"")).await;
    for yard in &yards {
        assert!(
            yard.files().join("old").is_dir() && std::fs::read_link(yard.files().join("current")).is_err()
        );
        assert_eq!(yard.releases(), [""; 0]);
    }
}
