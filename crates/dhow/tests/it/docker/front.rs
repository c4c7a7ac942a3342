//! Behind a proxy that speaks TLS: checks come in by the front door, as visitors do.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use dhow_testkit::engines;
use dhow_testkit::free_port;
use reqwest::Client;
use serde_json::json;
use tokio::process::{Child, Command};

use super::support::Yard;

const HOST: &str = "shop.localhost";
const CHECKS: &str =
    "checks:\n  - http: { url: \"https://{host}/healthz\" }\n    limit: 5s\n    retry: 100ms\n";

fn free() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST)))
}

/// Caddy, with certificates of its own for names like `shop.localhost`, and its line in the fleet's file.
fn caddy(folder: &Path, front: SocketAddr) -> Option<(Command, String)> {
    let admin = free();
    let http = json!({
        "http_port": free().port(), "https_port": front.port(), "servers": { "web": { "listen": [front] } },
    });
    let pki = json!({ "certificate_authorities": { "local": { "install_trust": false } } });
    let config = json!({ "admin": { "listen": admin }, "apps": { "http": http, "pki": pki } });
    std::fs::write(folder.join("caddy.json"), config.to_string()).unwrap();
    let mut command = Command::new(engines::caddy()?.program);
    command.args(["run", "--config"]).arg(folder.join("caddy.json"));
    Some((command, format!("proxy: {{ kind: caddy, admin: \"{admin}\", drain: 1s }}\n")))
}

/// The same of Traefik, which shows its default certificate.
fn traefik(folder: &Path, front: SocketAddr) -> Option<(Command, String)> {
    let at = folder.display();
    let mut command = Command::new(engines::traefik()?.program);
    command
        .args([&format!("--entrypoints.web.address={front}"), &format!("--providers.file.directory={at}")]);
    command.args(["--providers.file.watch=true", "--providers.providersThrottleDuration=100ms"]);
    Some((command, format!("proxy: {{ kind: traefik, folder: {at}, front: \"{front}\", drain: 1s }}\n")))
}

fn start(mut command: Command, folder: &Path) -> Child {
    command.env("HOME", folder).env("XDG_DATA_HOME", folder);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// The version that visitors get, who accept any certificate.
async fn version(front: SocketAddr) -> String {
    let client = Client::builder()
        .no_proxy()
        .resolve(HOST, front)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let url = format!("https://{HOST}:{}/version", front.port());
    match client.get(url).send().await {
        Ok(answer) => answer.text().await.unwrap_or_default().trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn checks_come_in_over_tls(by: fn(&Path, SocketAddr) -> Option<(Command, String)>) {
    let Some(yard) = Yard::here().await else { return };
    let (folder, front) = (tempfile::tempdir().unwrap(), free());
    let Some((command, proxy)) = by(folder.path(), front) else { return };
    let _proxy = start(command, folder.path());
    let root = format!("environments:\n  stage: {{ update: commit }}\n{proxy}");
    let (service, text) = yard.service(CHECKS);
    let Yard { registry, name, .. } = &yard;
    let compose = format!("services:\n  web:\n    image: {registry}/{name}/web\n    stop_grace_period: 1s\n");
    let route = format!("route: {{ host: {HOST}, service: web, port: 8080 }}\n");
    let at = format!("services/{name}/compose/stage");
    let files = [
        ("dhow.yaml", &*root),
        (&*service, &*text),
        (&*format!("{at}/compose.yaml"), &*compose),
        (&*format!("{at}/dhow.yaml"), &*route),
    ];
    yard.fleet.push("the fleet begins", &files).await;
    let serve = yard.serve().start().await;
    for tag in ["1.0.0", "2.0.0"] {
        yard.push(&serve, yard.version(tag), tag).await;
        serve.reaches(name, "stage", tag).await;
        assert_eq!(version(front).await, tag);
    }
}

#[tokio::test]
async fn a_check_of_a_site_with_a_certificate_speaks_tls_with_caddy() {
    checks_come_in_over_tls(caddy).await;
}

#[tokio::test]
async fn a_check_of_a_site_with_a_certificate_speaks_tls_with_traefik() {
    checks_come_in_over_tls(traefik).await;
}
