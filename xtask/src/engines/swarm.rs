//! A swarm of one, on a server of its own: what it does to networks stays there.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::host::{Host, Kind};
use super::state::State;
use super::{compose, docker, sshd};
use crate::process;

/// The engine is a manager; tests reach published ports (`mode: host`) at the server's address.
pub fn up(state: &mut State) -> anyhow::Result<Value> {
    let plugin = compose::plugin()?;
    let kind = Kind::Server { number: sshd::HOSTS.len() as u8, plugin: Some(&plugin) };
    let mut host = Host::up(state, "swarm", kind)?;
    docker::start_on_server(state, &mut host)?;
    let mut found = docker::on_server(state, &mut host)?;
    let address = host.net.as_ref().context("the swarm's host has a network")?.address.to_string();
    let socket = host.fs().join("run/docker.sock");
    if local_state(&socket)? != "active" {
        let docker = process::find("docker").context("docker is missing")?;
        let mut init = Command::new(docker);
        init.args([
            "--host",
            &format!("unix://{}", socket.display()),
            "swarm",
            "init",
            "--advertise-addr",
            &address,
        ]);
        // The default takes addresses of the servers' own network.
        init.args(["--default-addr-pool", "10.214.0.0/16"]).stdout(std::process::Stdio::null());
        process::run(&mut init)?;
    }
    found["address"] = json!(address);
    let engine = found.clone();
    found["ssh"] = sshd::serve(state, &mut host, 22)?;
    found["ssh"]["docker"] = engine;
    Ok(found)
}

fn local_state(socket: &Path) -> anyhow::Result<String> {
    let info: Value = serde_json::from_str(&docker::get(socket, "/info")?).context("/info is no JSON")?;
    Ok(info["Swarm"]["LocalNodeState"].as_str().unwrap_or_default().to_owned())
}
