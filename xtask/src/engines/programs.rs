//! What comes from Debian: programs, installed where they are missing.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Engine;
use crate::{debian, process};

/// `sshd`, run as root, refuses to start without this folder; the package's service would have made it.
const SSHD_RUN: &str = "/run/sshd";

/// What a host of our own is made with.
const HOST: [(&str, &str); 8] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("busybox", "busybox-static"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("tini", "tini"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];

const SSH: [(&str, &str); 3] =
    [("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"), ("sshd", "openssh-server")];

impl Engine {
    /// Each program of this engine, and the Debian package that has it.
    fn programs(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Git => vec![("git", "git")],
            Self::Skopeo => vec![("skopeo", "skopeo")],
            Self::Ssh => SSH.to_vec(),
            Self::Faketime => vec![("faketime", "faketime")],
            Self::Docker | Self::Spare => HOST.to_vec(),
            Self::Swarm | Self::Sshd => [HOST.as_slice(), &SSH].concat(),
            Self::Compose | Self::Caddy | Self::Traefik => vec![("python3", "python3")],
            Self::Server => vec![("cc", "gcc"), ("busybox", "busybox-static")],
        }
    }
}

/// Installs what is missing of these engines. Does nothing, and needs no right, where nothing is missing.
pub fn ensure(engines: &[Engine]) -> anyhow::Result<()> {
    let is_there = |program: &str| process::find(program).is_some();
    let packages = missing(engines, is_there);
    if !packages.is_empty() {
        debian::install(&packages)?;
    }
    for engine in engines {
        for (program, package) in engine.programs() {
            if !is_there(program) {
                bail!("{program} is still missing after installing {package}: look into that package");
            }
        }
    }
    if engines.contains(&Engine::Ssh) && debian::is_root() && !Path::new(SSHD_RUN).exists() {
        fs::create_dir_all(SSHD_RUN).with_context(|| format!("cannot create {SSHD_RUN} for sshd"))?;
    }
    Ok(())
}

/// Where the programs of an engine are, for `engines.json`.
pub fn found(engine: Engine) -> anyhow::Result<Value> {
    let programs = engine.programs();
    let (first, package) = programs.first().context("an engine has a program")?;
    let program = process::find(first).with_context(|| format!("{first} is missing; install {package}"))?;
    Ok(json!({ "program": program }))
}

/// The packages of the programs that are not there, each once, in the engines' order.
fn missing(engines: &[Engine], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for (program, package) in engines.iter().flat_map(|engine| engine.programs()) {
        if !is_there(program) && !packages.contains(&package) {
            packages.push(package);
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn nothing_is_installed_where_everything_is_there() {
        assert!(missing(Engine::value_variants(), |_| true).is_empty());
    }

    #[test]
    fn a_package_of_two_missing_programs_is_installed_once() {
        assert_eq!(missing(&[Engine::Ssh], |_| false), ["openssh-client", "openssh-server"]);
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let packages = missing(Engine::value_variants(), |program| program != "sshd");
        assert_eq!(packages, ["openssh-server"]);
    }
}
