//! Docker Engines of our own: beside the machine's, if it has one, and sharing nothing with it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::host::{Host, Kind};
use super::state::State;
use super::{machine, net};
use crate::process;

/// The disk of the spare engine, in MiB.
const SMALL: u32 = 64;

/// The engine "on this machine": containers publish their ports on the machine's own loopback.
pub fn up(state: &mut State) -> anyhow::Result<Value> {
    let host = Host::up(state, "docker", Kind::Machine)?;
    let bridge = net::bridge(state.slot()?);
    on_machine(state, host, json!({ "bridge": bridge }))
}

/// One more, for tests that stop it or fill its disk: all that it writes lies on a small disk in memory, and its
/// containers go on without it.
pub fn spare(state: &mut State) -> anyhow::Result<Value> {
    let host = Host::up(state, "spare", Kind::Beside)?;
    let data = host.dir.join("data");
    let line = format!(" {} tmpfs ", data.display());
    let mounted = host.command("grep")?.args(["-qF", &line, "/proc/self/mounts"]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let options = format!("size={SMALL}m,mode=710");
        let mut mount = host.command("busybox")?;
        process::run(mount.args(["mount", "-t", "tmpfs", "-o", &options, "dhow"]).arg(&data))?;
    }
    // It gives a pull up at the first break, where Docker tries again for a minute: a test has no minute.
    let more = json!({ "bridge": "none", "live-restore": true, "max-download-attempts": 1 });
    on_machine(state, host, more)
}

/// Starts an engine on the machine's own network, with more in its configuration.
fn on_machine(state: &mut State, mut host: Host, more: Value) -> anyhow::Result<Value> {
    let socket = host.dir.join("docker.sock");
    let slot = state.slot()?;
    let mut config = json!({
        "data-root": host.dir.join("data"),
        "exec-root": host.dir.join("exec"),
        "pidfile": host.dir.join("docker.pid"),
        "hosts": [format!("unix://{}", socket.display())],
        "insecure-registries": ["10.213.0.0/16"],
        "dns": [net::nobody(slot)],
        // Rules of the machine's firewall, and whether it forwards, are none of our business: ports are published
        // by Docker's own proxy.
        "iptables": false,
        "ip-forward": false,
    });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    let mut command = command(state, &host, config)?;
    host.start(state, "dockerd", &mut command, || answers(&socket))?;
    host.wait("dockerd", || answers(&socket))?;
    found(state, &host, &socket)
}

/// Starts the engine of a server: Docker's usual places, in the server's own files.
pub fn start_on_server(state: &mut State, host: &mut Host) -> anyhow::Result<()> {
    let socket = host.fs().join("run/docker.sock");
    // Nobody answers for names at the gateway: containers hear at once of a name that there is none.
    let config = json!({
        "hosts": ["unix:///run/docker.sock"],
        "insecure-registries": ["10.213.0.0/16"],
        "dns": host.net.iter().map(|net| net.gateway).collect::<Vec<_>>(),
    });
    let mut command = command(state, host, config)?;
    host.start(state, "dockerd", &mut command, || answers(&socket))
}

/// The engine of a server, as soon as it answers.
pub fn on_server(state: &State, host: &mut Host) -> anyhow::Result<Value> {
    let socket = host.fs().join("run/docker.sock");
    host.wait("dockerd", || answers(&socket))?;
    found(state, host, &socket)
}

/// The command that starts an engine, its configuration written.
fn command(state: &mut State, host: &Host, mut config: Value) -> anyhow::Result<Command> {
    let slot = state.slot()?;
    let common = json!({
        "cgroup-parent": format!("/{}", machine::cgroup(slot)),
        "default-address-pools": [{ "base": net::pool(slot), "size": 24 }],
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "shutdown-timeout": 5,
    });
    if let (Some(config), Value::Object(common)) = (config.as_object_mut(), common) {
        config.extend(common);
    }
    // Written where the host sees it too: a server has a `/run` of its own.
    let (file, seen) = match host.net {
        Some(_) => (host.fs().join("run/dockerd.json"), PathBuf::from("/run/dockerd.json")),
        None => (host.dir.join("dockerd.json"), host.dir.join("dockerd.json")),
    };
    fs::write(&file, serde_json::to_vec_pretty(&config)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = host.command("dockerd")?;
    command.arg("--config-file").arg(seen);
    Ok(command)
}

fn answers(socket: &Path) -> bool {
    get(socket, "/_ping").is_ok()
}

/// Where an engine is and what it is.
fn found(state: &State, host: &Host, socket: &Path) -> anyhow::Result<Value> {
    let version: Value = serde_json::from_str(&get(socket, "/version")?).context("/version is no JSON")?;
    Ok(json!({
        "host": format!("unix://{}", socket.display()),
        "version": version["Version"],
        "api": version["ApiVersion"],
        "program": process::find("docker"),
        "config": config_dir(state)?,
        "pid": host.pid("dockerd"),
    }))
}

/// A `DOCKER_CONFIG` for tests: empty, but for the plugins that engines of ours bring.
fn config_dir(state: &State) -> anyhow::Result<PathBuf> {
    let dir = state.dir().join("docker-config");
    fs::create_dir_all(dir.join("cli-plugins")).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Links the plugin `docker compose` into that folder.
pub fn plug(state: &State, plugin: &Path) -> anyhow::Result<()> {
    let link = config_dir(state)?.join("cli-plugins/docker-compose");
    if fs::read_link(&link).ok().as_deref() != Some(plugin) {
        // Absent at first; another version's otherwise.
        let _ = fs::remove_file(&link);
        symlink(plugin, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// Asks an engine, and returns the answer's body.
pub fn get(socket: &Path, path: &str) -> anyhow::Result<String> {
    let cannot = || format!("no answer from {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(cannot)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).with_context(cannot)?;
    // HTTP/1.0: the answer ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").with_context(cannot)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(cannot)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split_whitespace().nth(1) == Some("200") => Ok(body.to_owned()),
        _ => {
            bail!("{} answered {path} with: {}", socket.display(), answer.lines().next().unwrap_or_default())
        }
    }
}
