//! `cargo xtask engines`: what the tests speak to, installed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::{debian, process};

/// `sshd`, run as root, refuses to start without this folder; the package's service would have made it.
const SSHD_RUN: &str = "/run/sshd";

/// Install what the tests need and is missing, and start nothing
#[derive(Args)]
pub struct Engines {
    /// Only these; all of them when none is named
    #[arg(value_enum)]
    names: Vec<Engine>,
}

/// A program, or a family of programs, that tests run for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Git, which speaks to remotes
    Git,
    /// skopeo, a registry client that is not ours
    Skopeo,
    /// OpenSSH, client and server
    Ssh,
}

impl Engine {
    /// Each program of this engine, and the Debian package that has it.
    const fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Git => &[("git", "git")],
            Self::Skopeo => &[("skopeo", "skopeo")],
            Self::Ssh => {
                &[("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"), ("sshd", "openssh-server")]
            }
        }
    }
}

impl Engines {
    pub fn run(self) -> anyhow::Result<()> {
        let names = if self.names.is_empty() { Engine::value_variants() } else { &self.names };
        ensure(names)
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

/// The packages of the programs that are not there, each once, in the engines' order.
fn missing(engines: &[Engine], is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for (program, package) in engines.iter().flat_map(|engine| engine.programs()) {
        if !is_there(program) && !packages.contains(package) {
            packages.push(*package);
        }
    }
    packages
}

#[cfg(test)]
mod tests {
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
