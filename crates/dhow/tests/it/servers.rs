//! `dhow server`: the first contact, the list and the check, against real servers.

use std::path::Path;

use dhow_testkit::engines::{self, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::{Said, dhow, run};

struct Lab {
    folder: TempDir,
    server: Server,
}

impl Lab {
    /// A fleet with one server that is unknown, and a key that serve's configuration names.
    fn new(user: &str) -> Option<Self> {
        let server = engines::servers()?.swap_remove(0);
        let folder = tempfile::tempdir().unwrap();
        let Server { address, port, .. } = &server;
        let fleet = format!(
            "servers:\n  web1: {{ ssh: \"{user}@{address}:{port}\", identity: key, environments: [prod], labels: {{ zone: eu }} }}\n"
        );
        let config =
            format!("identities: {{ key: {{ file: {}, hosts: [{address}] }} }}\n", server.identity.display());
        for (name, text) in [("fleet/dhow.yaml", fleet), ("serve.yaml", config), ("state/x", String::new())] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Some(Self { folder, server })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn server(&self, arguments: &[&str]) -> Said {
        let mut command = dhow(Path::new(&self.at("home")));
        command.arg("server").args(arguments).args(["--fleet", &self.at("fleet")]);
        if arguments[0] != "list" {
            command.args(["--state", &self.at("state"), "--config", &self.at("serve.yaml")]);
        }
        run(command).await
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_its_fingerprint_and_then_checked() {
    let Some(lab) = Lab::new("deploy") else { return };
    let print = lab.server.fingerprint.clone();
    let list = lab.server(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(list["servers"][0]["environments"], serde_json::json!(["production"]));
    // Not known: nothing is taken, and the fingerprint is told.
    lab.server(&["add", "web1"]).await.refused(&[&print, "--yes"]);
    lab.server(&["add", "web1", "--yes", "SHA256:wrong"]).await.refused(&[&print, "nothing was trusted"]);
    let checked = lab.server(&["check", "web1", "--output", "json"]).await;
    let message = checked.json()["servers"][0]["findings"][0]["message"].to_string();
    assert!(message.contains(&print) && message.contains("dhow server add web1"), "{message}");
    let added = lab.server(&["add", "web1", "--yes", &print, "--output", "json"]).await.ok().json();
    assert_eq!(added["keys"][0]["fingerprint"], Value::from(print));
    let checked = lab.server(&["check", "--output", "json"]).await.ok().json();
    assert_eq!(checked["servers"][0]["ok"], Value::from(true), "{checked:#}");
    lab.server(&["check", "web2"]).await.refused(&["no server web2; did you mean web1?"]);
}

#[tokio::test]
async fn a_check_fails_where_docker_may_not_be_used() {
    let Some(lab) = Lab::new("guest") else { return };
    lab.server(&["add", "web1", "--yes", &lab.server.fingerprint]).await.ok();
    let checked = lab.server(&["check"]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    assert!(checked.stdout.contains("fail socket") && checked.stdout.contains("usermod -aG docker guest"));
}
