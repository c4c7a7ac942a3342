//! Test hosts: each an sshd and a Docker Engine in a network, with files, people and processes of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::host::{Host, Kind};
use super::ledger::write_whole;
use super::state::State;
use super::{compose, docker};
use crate::process;

/// The hosts and their ports: one is not the usual one.
pub const HOSTS: [(&str, u16); 3] = [("s1", 22), ("s2", 2222), ("s3", 22)];

/// Three servers, each with its own engine.
pub fn up(state: &mut State) -> anyhow::Result<Value> {
    let plugin = compose::plugin()?;
    let mut servers = Vec::new();
    for (number, (name, port)) in (0..).zip(HOSTS) {
        let mut host = Host::up(state, name, Kind::Server { number, plugin: Some(&plugin) })?;
        docker::start_on_server(state, &mut host)?;
        servers.push((host, port));
    }
    let mut hosts = Vec::new();
    for (mut host, port) in servers {
        let engine = docker::on_server(state, &mut host)?;
        let mut ssh = serve(state, &mut host, port)?;
        ssh["docker"] = engine;
        hosts.push(ssh);
    }
    Ok(json!({ "hosts": hosts }))
}

/// Starts a host's sshd, and says how to reach it.
pub fn serve(state: &mut State, host: &mut Host, port: u16) -> anyhow::Result<Value> {
    let net = host.net.clone().context("an sshd needs a network of its own")?;
    let identity = client_key(state)?;
    let dir = host.fs().join("var/lib/sshd");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let key = make_key(&dir.join("host_key"), &host.name)?;
    let authorized = read(&identity.with_extension("pub"))?;
    write_whole(&dir.join("authorized_keys"), authorized.as_bytes())?;
    write_whole(&dir.join("config"), config(port).as_bytes())?;
    let at = SocketAddr::from((net.address, port));
    let sshd = process::find("sshd").context("sshd is missing")?;
    let mut command = host.command(&sshd.display().to_string())?;
    command.args(["-D", "-e", "-f", "/var/lib/sshd/config"]);
    host.start(state, "sshd", &mut command, || answers(at))?;
    host.wait("sshd", || answers(at))?;
    let known = known_hosts(state, &host.name, at, &key)?;
    Ok(json!({
        "name": host.name,
        "address": net.address,
        "port": port,
        "users": ["root", "deploy", "guest"],
        "identity": identity,
        "known_hosts": known,
        "fingerprint": fingerprint(&dir.join("host_key.pub"))?,
        "netns": net.netns,
        "link": net.link,
        "gateway": net.gateway,
        "files": host.fs(),
        "pid": host.pid("sshd"),
    }))
}

fn config(port: u16) -> String {
    let lines = [
        &format!("Port {port}"),
        "HostKey /var/lib/sshd/host_key",
        "AuthorizedKeysFile /var/lib/sshd/authorized_keys",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "PidFile /run/sshd.pid",
        "UseDNS no",
        "MaxStartups 100",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
    ];
    lines.join("\n") + "\n"
}

/// The key that every host lets in, made once for a state folder.
fn client_key(state: &State) -> anyhow::Result<PathBuf> {
    let dir = state.dir().join("ssh");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let key = dir.join("id_ed25519");
    make_key(&key, "test")?;
    Ok(key)
}

/// Makes a key pair unless it is there; the public key is returned, without its comment.
fn make_key(key: &Path, comment: &str) -> anyhow::Result<String> {
    let public = key.with_extension("pub");
    if !public.is_file() {
        // `ssh-keygen` asks before it writes over what a killed run left.
        let _ = fs::remove_file(key);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(key).stdin(Stdio::null());
        process::run(&mut keygen)?;
    }
    Ok(read(&public)?.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// One file for all hosts, kept up to date by address.
fn known_hosts(state: &State, name: &str, at: SocketAddr, key: &str) -> anyhow::Result<PathBuf> {
    let file = state.dir().join("ssh/known_hosts");
    let address = match at.port() {
        22 => at.ip().to_string(),
        port => format!("[{}]:{port}", at.ip()),
    };
    let entry = format!("{address} {key} {name}");
    let old = fs::read_to_string(&file).unwrap_or_default();
    let others = old.lines().filter(|line| line.split_whitespace().next() != Some(&address));
    let lines: Vec<&str> = others.chain([entry.as_str()]).collect();
    write_whole(&file, (lines.join("\n") + "\n").as_bytes())?;
    Ok(file)
}

/// As `ssh` shows it: `SHA256:...`.
fn fingerprint(public: &Path) -> anyhow::Result<String> {
    let output =
        Command::new("ssh-keygen").arg("-lf").arg(public).output().context("cannot run ssh-keygen")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = text.split_whitespace().nth(1).filter(|word| word.starts_with("SHA256:"));
    word.map(str::to_owned).with_context(|| format!("{} has no fingerprint", public.display()))
}

fn answers(at: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_secs(2)) else {
        return false;
    };
    let mut line = Vec::new();
    let read = stream.set_read_timeout(Some(Duration::from_secs(5)));
    read.and_then(|()| BufReader::new(stream).read_until(b'\n', &mut line)).is_ok()
        && line.starts_with(b"SSH-2.0")
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
