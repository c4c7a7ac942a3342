//! The engines that `cargo xtask engines up` starts do what the tests of others build on.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dhow_testkit::engines::{self, Docker, Image, Server};

const WEB: &str =
    "web:\n    image: testkit-web:1\n    healthcheck: {test: [CMD, /server, check], interval: 1s}\n";

/// One test at a time has the servers: some break them for a while.
static SERVERS: Mutex<()> = Mutex::new(());

fn servers() -> Option<(Vec<Server>, MutexGuard<'static, ()>)> {
    let guard = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    Some((engines::servers()?, guard))
}

/// Runs to the end and returns what was printed.
fn ok(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn fails(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the site says at `/version`.
fn version(address: Ipv4Addr, port: u16) -> std::io::Result<String> {
    let address = SocketAddr::new(IpAddr::V4(address), port);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

/// A project in a folder, with a service `web` whose further lines are given.
fn project(lines: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("compose.yaml"), format!("services:\n  {WEB}{lines}"))
        .expect("the file is written");
    dir
}

fn image(docker: &Docker, version: &str) -> Option<String> {
    Some(Image::server(&engines::parts()?, version).build(docker, "testkit-web:1"))
}

#[test]
fn a_project_comes_up_healthy_on_this_machine() {
    let (Some(docker), Some(_)) = (engines::docker(), engines::compose()) else { return };
    let Some(_) = image(&docker, "7") else { return };
    let dir = project("    ports: [\"127.0.0.1:18090:8080\"]\n");
    let compose = || {
        let mut compose = docker.command();
        compose.current_dir(dir.path()).args(["compose", "--project-name", "testkit"]);
        compose
    };
    ok(compose().args(["up", "--detach", "--wait"]));
    let said = version(Ipv4Addr::LOCALHOST, 18090);
    ok(compose().args(["down", "--timeout", "3"]));
    assert_eq!(said.unwrap(), "7");
}

#[test]
fn each_server_has_its_own_engine_people_and_files() {
    let Some((servers, _guard)) = servers() else { return };
    for server in &servers {
        assert_eq!(ok(server.ssh("root").arg("hostname")), server.name);
        let id = image(&server.docker, &server.name).unwrap_or_default();
        let seen =
            ok(server.ssh("deploy").args(["docker", "images", "--no-trunc", "--quiet", "testkit-web:1"]));
        assert_eq!(seen, id, "{}", server.name);
        let refused = fails(server.ssh("guest").args(["docker", "ps"]));
        assert!(refused.contains("permission denied"), "{refused}");
        ok(server.ssh("root").args(["touch", &format!("/srv/only-{}", server.name)]));
        assert!(server.files.join(format!("srv/only-{}", server.name)).exists());
    }
    // Other tests leave files of theirs there, too.
    let there = ok(servers[0].ssh("root").args(["ls", "/srv"]));
    let only: Vec<&str> = there.lines().filter(|name| name.starts_with("only-")).collect();
    assert_eq!(only, ["only-s1"]);
}

#[test]
fn a_server_publishes_ports_and_keeps_networks_apart() {
    let Some((servers, _guard)) = servers() else { return };
    let server = &servers[1];
    let Some(_) = image(&server.docker, "9") else { return };
    let dir = project(
        "    ports: [\"18091:8080\"]\n    networks: [a]\n  db:\n    image: testkit-web:1\n    networks: [b]\nnetworks: {a: {}, b: {}}\n",
    );
    let compose = || {
        let mut compose = server.docker.command();
        compose.current_dir(dir.path()).args(["compose", "--project-name", "testkit"]);
        compose
    };
    ok(compose().args(["up", "--detach", "--wait"]));
    let said = version(server.address, 18091);
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let db = ok(server.docker.command().args(["inspect", "--format", address, "testkit-db-1"]));
    let reach = |to: &str| {
        let mut exec = server.docker.command();
        exec.args(["exec", "testkit-web-1", "/server", "connect", to]);
        exec
    };
    let own = ok(&mut reach("web:8080"));
    let by_name = fails(&mut reach("db:8080"));
    let by_address = fails(&mut reach(&format!("{db}:8080")));
    ok(compose().args(["down", "--timeout", "3"]));
    assert_eq!(said.unwrap(), "9");
    assert!(own.starts_with("connected to web"), "{own}");
    assert!(by_name.contains("has no address") || by_name.contains("name server"), "{by_name}");
    assert!(by_address.contains("no connection"), "{by_address}");
}

#[test]
fn a_service_of_the_swarm_is_reached_at_its_address() {
    let Some(swarm) = engines::swarm() else { return };
    let Some(_) = image(&swarm.docker, "11") else { return };
    let mut create = swarm.docker.command();
    create.args([
        "service",
        "create",
        "--quiet",
        "--name",
        "testkit",
        "--no-resolve-image",
        "--endpoint-mode",
        "dnsrr",
    ]);
    ok(create.args(["--publish", "mode=host,published=18092,target=8080", "testkit-web:1"]));
    let said = version(swarm.address, 18092);
    ok(swarm.docker.command().args(["service", "rm", "testkit"]));
    assert_eq!(said.unwrap(), "11");
    assert_eq!(
        ok(swarm.ssh.ssh("root").args(["docker", "node", "ls", "--format", "{{.Hostname}}"])),
        "swarm"
    );
}

#[test]
fn a_server_that_is_cut_off_is_not_reached_until_it_is_back() {
    let Some((servers, _guard)) = servers() else { return };
    let quick = |server: &Server| {
        let mut ssh = server.ssh("root");
        ssh.args(["true"]).env("LC_ALL", "C");
        ssh
    };
    let cut = servers[2].cut();
    assert!(version(servers[2].address, 22).is_err());
    ok(&mut quick(&servers[1]));
    drop(cut);
    ok(&mut quick(&servers[2]));
}

#[test]
fn a_killed_engine_is_mended() {
    let Some((servers, _guard)) = servers() else { return };
    let before = &servers[0].docker;
    ok(Command::new("kill").args(["-9", &before.pid.to_string()]));
    engines::mend("sshd");
    let after = engines::servers().expect("it answers again").remove(0).docker;
    assert_ne!(after.pid, before.pid);
    ok(after.command().arg("ps"));
}
