//! `dhow ps`, `logs`, `exec` and `doctor` on a server over SSH.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use dhow_testkit::engines::{self, Docker, Image, Server};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::support::process::{dhow, run, run_with};
use crate::support::{DEADLINE, Fleet, Serve};

/// Takes a project away at the end.
struct Swept {
    docker: Docker,
    project: String,
}

impl Drop for Swept {
    fn drop(&mut self) {
        let down = ["compose", "-p", &self.project, "down", "--volumes", "--timeout", "1"];
        let _ = self.docker.command().args(down).output();
    }
}

/// A service `web`, and `ticker`, which counts.
fn compose(image: &str) -> String {
    let count = "i=0; while :; do i=$$((i+1)); echo tick $$i; /bin/busybox sleep 0.1; done";
    format!(
        "services:\n  web:\n    image: {image}\n  ticker:\n    image: {image}\n    stop_grace_period: 0s\n    entrypoint: \
         [/bin/busybox, sh, -c, '{count}']\n"
    )
}

/// Builds an image on a server's engine and pushes it from there.
async fn push(server: &Server, image: Image, name: &str, registry: &str, token: &str) {
    let (docker, name) = (server.docker.clone(), name.to_owned());
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("dhow:{token}"));
    let config = serde_json::json!({ "auths": { registry: { "auth": auth } } }).to_string();
    let pushed = tokio::task::spawn_blocking(move || {
        let _id = image.build(&docker, &name);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        docker
            .command()
            .env("DOCKER_CONFIG", folder.path())
            .args(["push", "--quiet", &name])
            .output()
            .unwrap()
    });
    let pushed = pushed.await.unwrap();
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}

/// Lines of `dhow logs --follow` until there are three, and the follower is killed.
async fn followed(fleet: &Fleet, serve: &Serve, shop: &str) -> Vec<String> {
    let mut command = dhow(&fleet.home());
    command.env("DHOW_STATE", serve.state()).args([
        "logs",
        shop,
        "stage",
        "--container",
        "ticker",
        "-f",
        "-n",
        "0",
    ]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Vec::new();
    while found.len() < 3 {
        found.push(timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap());
    }
    child.kill().await.unwrap();
    found
}

#[tokio::test]
async fn what_runs_on_a_server_is_seen_read_and_entered() {
    let (Some(servers), Some(parts)) = (engines::servers(), engines::parts()) else { return };
    let server = &servers[1];
    let port = std::net::TcpListener::bind((server.gateway, 0)).unwrap().local_addr().unwrap().port();
    let registry = format!("{}:{port}", server.gateway);
    let image = format!("{registry}/shop/web:1.0.0");
    let service = format!("t{}", std::process::id());
    let shop = service.as_str();
    let _swept = Swept { docker: server.docker.clone(), project: format!("stage_{shop}") };
    let Server { address, port: sshd, fingerprint, identity, .. } = server;
    let root = format!(
        "servers:\n  web1: {{ ssh: \"deploy@{address}:{sshd}\", identity: key, fingerprint: \"{fingerprint}\" }}\n"
    );
    let fleet = Fleet::with(&[
        ("dhow.yaml", &root),
        (&format!("services/{shop}/compose/stage/compose.yaml"), &compose(&image)),
        (&format!("services/{shop}/compose/stage/dhow.yaml"), "servers: [web1]\n"),
    ])
    .await;
    let keys = format!(
        "docker: {{ stable: 200ms }}\nidentities: {{ key: {{ file: {}, hosts: [{address}] }} }}\n",
        identity.display()
    );
    let serve = fleet.serve().reached_as(&registry, port).config(&keys).start().await;
    push(server, Image::server(&parts, "1").busybox(&parts), &image, &registry, &serve.admin()).await;
    let waited = serve.dhow(&["wait", shop, "stage", "--timeout", "28s"]).await;
    assert_eq!(waited.code, Some(0), "{}\nserve said: {}", waited.stderr, serve.said());
    it_is_shown(&serve, shop).await;
    its_lines_are_read(&fleet, &serve, shop).await;
    commands_run_in_it(&fleet, &serve, shop).await;
    the_doctor_finds_all_well(&fleet, &serve).await;
}

async fn it_is_shown(serve: &Serve, shop: &str) {
    let found = serve.dhow(&["ps", shop, "stage", "--output", "json"]).await.ok().json();
    let found = found["processes"].as_array().unwrap();
    let names: Vec<&str> = found.iter().map(|one| one["component"].as_str().unwrap()).collect();
    assert_eq!(names, ["ticker", "web"]);
    assert!(
        found.iter().all(|one| one["state"] == "running" && one["place"]["server"] == "web1"),
        "{found:#?}"
    );
    assert!(found.iter().all(|one| one["digest"].is_string() && one["memory"].is_u64()), "{found:#?}");
    assert!(serve.dhow(&["ps"]).await.ok().stdout.contains("web1"));
}

async fn its_lines_are_read(fleet: &Fleet, serve: &Serve, shop: &str) {
    let lines = serve.dhow(&["logs", shop, "stage", "-n", "2", "--container", "ticker"]).await.ok().stdout;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for line in lines.lines().map(str::to_owned).chain(followed(fleet, serve, shop).await) {
        assert!(line.contains("@web1 | tick "), "{line}");
    }
}

async fn commands_run_in_it(fleet: &Fleet, serve: &Serve, shop: &str) {
    let shell =
        |script| ["exec", shop, "stage", "--container", "web", "--", "/bin/busybox", "sh", "-c", script];
    let ran = serve.dhow(&shell("echo out; echo err >&2; exit 3")).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "out\n", "err\n"));
    let mut count = dhow(&fleet.home());
    count.env("DHOW_STATE", serve.state()).args(["exec", shop, "stage", "-i", "--container", "web"]);
    count.args(["--", "/bin/busybox", "wc", "-c"]);
    assert_eq!(run_with(count, "hello").await.ok().stdout.trim(), "5");
    serve
        .dhow(&["exec", shop, "stage", "--", "/bin/busybox", "true"])
        .await
        .refused(&["--container", "ticker, web"]);
    let reader = serve.token("rita", "reader").await;
    serve.dhow_as(&reader, &shell("true")).await.refused(&["needs the role admin"]);
    let told = serve.events("command_started").await;
    assert!(
        told.iter().all(|event| event["by"] == "admin" && event["program"] == "/bin/busybox"),
        "{told:?}"
    );
    assert_eq!(told.len(), 3);
}

async fn the_doctor_finds_all_well(fleet: &Fleet, serve: &Serve) {
    let config = fleet.folder().join("serve.yaml");
    let mut doctor = dhow(&fleet.home());
    doctor
        .env("DHOW_STATE", serve.state())
        .arg("doctor")
        .arg("--fleet")
        .arg(fleet.work())
        .arg("--config")
        .arg(config);
    doctor.args(["--all", "--output", "json"]);
    let found = timeout(Duration::from_secs(60), run(doctor)).await.unwrap().json();
    let places = found["places"].as_array().unwrap();
    assert_eq!(places[1]["server"], "web1");
    assert_eq!(places[1]["ok"], true, "{places:#?}");
    let checks = |at: usize| -> Vec<&str> {
        places[at]["findings"].as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect()
    };
    for check in ["git", "ssh", "state", "disk"] {
        assert!(checks(0).contains(&check), "{check}: {places:#?}");
    }
    for check in ["docker", "compose", "swarm", "ipvs", "clock", "memory", "load"] {
        assert!(checks(1).contains(&check), "{check}: {places:#?}");
    }
}

#[tokio::test]
async fn a_doctor_says_what_is_missing_and_fails() {
    let fleet = Fleet::with(&[
        ("dhow.yaml", "registries:\n  127.0.0.1:1: {}\n"),
        ("services/shop/static_file/stage/dhow.yaml", "bundle: 127.0.0.1:1/web\n"),
    ])
    .await;
    let state = fleet.folder().join("nowhere");
    let doctor = async |more: &[&str]| {
        let mut command = dhow(&fleet.home());
        command.arg("doctor").arg("--fleet").arg(fleet.work()).arg("--state").arg(&state).args(more);
        run(command).await
    };
    let said = doctor(&[]).await;
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    for word in ["fail registry 127.0.0.1:1 does not answer", "warn state", "ok   git", "ok   ssh"] {
        assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    // Nothing of this fleet runs containers here: without Docker it is no failure.
    for line in said.stdout.lines().filter(|line| line.contains("fail ")) {
        assert!(line.contains("registry"), "{}", said.stdout);
    }
    doctor(&["--server", "web9"]).await.refused(&["no server web9"]);
}
