//! The real engines that `cargo xtask engines up` started, as its file `engines.json` has them.
//!
//! The file's path is in `DHOW_ENGINES`. A test begins with the engine that it needs and ends where there is none:
//!
//! ```no_run
//! use dhow_testkit::engines;
//!
//! let Some(docker) = engines::docker() else { return };
//! let output = docker.command().args(["ps", "--quiet"]).output();
//! ```
//!
//! Such a test says "not run" and why; with `DHOW_REQUIRE_ENGINES=1` it fails in place of that.

mod docker;
mod image;
mod server;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use docker::{Compose, Docker, Swarm};
pub use image::Image;
pub use server::{Server, Servers};

/// The variable that names `engines.json`.
const FILE: &str = "DHOW_ENGINES";

/// A program that tests start themselves, each with its own configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Program {
    /// The program.
    pub program: PathBuf,
    /// Its version, without a `v`.
    pub version: String,
}

/// What images for tests are made of. See `tests/engines/README.md` for what the test server does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Parts {
    /// The test server: a static binary.
    pub program: PathBuf,
    /// A static busybox, for an image that needs a shell.
    pub busybox: PathBuf,
}

/// The Docker Engine on this machine's own network. Publish ports on 127.0.0.1 only.
///
/// # Panics
///
/// Where it is not up and `DHOW_REQUIRE_ENGINES=1`; the same holds for all functions here.
#[must_use]
pub fn docker() -> Option<Docker> {
    found::<Docker>("docker", Docker::answers)
}

/// One more engine on this machine's network, for tests that stop it ([`mend`] starts it again; its containers go on
/// without it) or fill its disk. One test at a time.
#[must_use]
pub fn spare() -> Option<Docker> {
    found::<Docker>("spare", Docker::answers)
}

/// The plugin `docker compose`; [`Docker::command`] has it.
#[must_use]
pub fn compose() -> Option<Compose> {
    found("compose", |_| true)
}

/// A Docker Engine that is the manager of a swarm of one.
#[must_use]
pub fn swarm() -> Option<Swarm> {
    found::<Swarm>("swarm", |swarm| swarm.docker.answers())
}

/// Three servers, each with its own network, sshd, Docker Engine and files.
#[must_use]
pub fn servers() -> Option<Vec<Server>> {
    let servers =
        found::<Servers>("sshd", |servers| servers.hosts.iter().all(|server| server.docker.answers()));
    servers.map(|servers| servers.hosts)
}

/// The test server and busybox.
#[must_use]
pub fn parts() -> Option<Parts> {
    found("server", |_| true)
}

/// Caddy.
#[must_use]
pub fn caddy() -> Option<Program> {
    found("caddy", |_| true)
}

/// Traefik.
#[must_use]
pub fn traefik() -> Option<Program> {
    found("traefik", |_| true)
}

/// Starts again what a test killed, such as a Docker Engine, and returns when it answers. What runs stays as it is.
///
/// # Panics
///
/// Where it cannot be started.
pub fn mend(engine: &str) {
    let file = read().expect("engines are up");
    let (state, xtask) = (text(&file, "state"), text(&file, "xtask"));
    let output =
        Command::new(xtask).args(["engines", "up", engine, "--state", state]).output().expect("xtask runs");
    assert!(output.status.success(), "{engine} does not start: {}", String::from_utf8_lossy(&output.stderr));
}

fn text<'a>(file: &'a Value, key: &str) -> &'a str {
    file.get(key).and_then(Value::as_str).expect("engines.json has it")
}

/// An engine by its name, if it is up.
fn found<T: DeserializeOwned>(engine: &str, answers: impl Fn(&T) -> bool) -> Option<T> {
    let found = read().and_then(|file| parse(&file, engine)).and_then(|found| {
        if answers(&found) { Ok(found) } else { Err(format!("engine {engine} does not answer")) }
    });
    let required = env::var("DHOW_REQUIRE_ENGINES").is_ok_and(|value| value == "1");
    or_not_run(found, engine, required)
}

/// A missing engine is never passed over in silence.
fn or_not_run<T>(found: Result<T, String>, engine: &str, required: bool) -> Option<T> {
    let how = format!("`cargo xtask engines up {engine}` starts it and prints what to set {FILE} to");
    match found {
        Ok(found) => Some(found),
        Err(why) if required => panic!("{why}, and DHOW_REQUIRE_ENGINES=1; {how}"),
        Err(why) => {
            eprintln!("not run: {why}; {how}");
            None
        }
    }
}

fn read() -> Result<Value, String> {
    let file = env::var_os(FILE).map(PathBuf::from).ok_or_else(|| format!("{FILE} is not set"))?;
    read_file(&file)
}

fn read_file(file: &Path) -> Result<Value, String> {
    let text = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    match value.get("version").and_then(Value::as_u64) {
        Some(1) => Ok(value),
        _ => Err(format!("{} is of another version: take the engines down and up", file.display())),
    }
}

fn parse<T: DeserializeOwned>(file: &Value, engine: &str) -> Result<T, String> {
    let found = file.get("engines").and_then(|engines| engines.get(engine));
    let found = found.ok_or_else(|| format!("engine {engine} is not up"))?;
    T::deserialize(found).map_err(|error| format!("engines.json, {engine}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        read_file(&root.join("tests/engines/engines.example.json")).unwrap()
    }

    #[test]
    fn every_engine_of_the_example_is_read() {
        let file = example();
        let docker: Docker = parse(&file, "docker").unwrap();
        assert_eq!(docker.socket(), Path::new("/var/lib/dhow-engines/docker/docker.sock"));
        assert_eq!(parse::<Compose>(&file, "compose").unwrap().version, "2.40.3");
        let servers: Servers = parse(&file, "sshd").unwrap();
        assert_eq!(servers.hosts.iter().map(|server| server.port).collect::<Vec<_>>(), [22, 2222, 22]);
        let swarm: Swarm = parse(&file, "swarm").unwrap();
        assert_eq!(swarm.address, swarm.ssh.address);
        assert!(parse::<Parts>(&file, "server").is_ok());
        for proxy in ["caddy", "traefik"] {
            assert!(parse::<Program>(&file, proxy).is_ok(), "{proxy}");
        }
    }

    #[test]
    fn a_test_without_its_engine_is_not_run_and_says_so() {
        let missing = parse::<Docker>(&serde_json::json!({ "engines": {} }), "docker");
        assert_eq!(missing.as_ref().unwrap_err(), "engine docker is not up");
        assert!(or_not_run(missing, "docker", false).is_none());
    }

    #[test]
    #[should_panic(expected = "DHOW_REQUIRE_ENGINES=1; `cargo xtask engines up docker` starts it")]
    fn a_test_without_its_engine_fails_where_engines_are_required() {
        let missing: Result<(), String> = Err("engine docker is not up".into());
        or_not_run(missing, "docker", true);
    }
}
