//! The engines that tests speak to: installed, built, started and stopped. One file an engine.
//!
//! What is built lies in the cache, keyed by its version; what is started lies in a state folder with a ledger that
//! is written before anything that would outlive us is made.

mod caddy;
mod compose;
mod docker;
mod fence;
mod go;
mod host;
mod ledger;
mod machine;
mod mounts;
mod net;
mod programs;
mod pypi;
mod server;
mod sshd;
mod state;
mod swarm;
mod traefik;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

pub use programs::ensure;
pub use state::State;

/// A program, or a family of programs, that tests run for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Engine {
    /// Git, which speaks to remotes
    Git,
    /// skopeo, a registry client that is not ours
    Skopeo,
    /// OpenSSH, client and server
    Ssh,
    /// A library that shows a process another wall clock
    Faketime,
    /// A Docker Engine of its own, on this machine's network
    Docker,
    /// One more Docker Engine on this machine's network, with a small disk: tests stop it and fill it
    Spare,
    /// `docker compose` v2
    Compose,
    /// A Docker Engine in a network of its own, manager of a swarm of one
    Swarm,
    /// Three test hosts, each with its own network, sshd and Docker Engine
    Sshd,
    /// The test server that images hold: HTTP, WebSockets, faults on request
    Server,
    /// Caddy
    Caddy,
    /// Traefik
    Traefik,
}

impl Engine {
    /// Those that are programs only: installed from Debian, never started.
    pub const PROGRAMS: [Self; 4] = [Self::Git, Self::Skopeo, Self::Ssh, Self::Faketime];
    /// What deployments run on: containers, servers, and the proxies in front of them.
    pub const DEPLOYS: [Self; 7] =
        [Self::Docker, Self::Compose, Self::Swarm, Self::Sshd, Self::Server, Self::Caddy, Self::Traefik];

    /// Its name, as the command line and `engines.json` have it.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Brings it up, or finds it up, and says where it is: what `engines.json` holds under its name.
    fn up(self, state: &mut State) -> anyhow::Result<Value> {
        match self {
            Self::Git | Self::Skopeo | Self::Ssh | Self::Faketime => programs::found(self),
            Self::Docker => docker::up(state),
            Self::Spare => docker::spare(state),
            Self::Compose => compose::up(state),
            Self::Swarm => swarm::up(state),
            Self::Sshd => sshd::up(state),
            Self::Server => server::up(state),
            Self::Caddy => caddy::up(),
            Self::Traefik => traefik::up(),
        }
    }

    /// Engines that must be there before it.
    const fn needs(self) -> &'static [Self] {
        match self {
            // The hosts have the plugin in their users' homes.
            Self::Swarm | Self::Sshd => &[Self::Compose],
            _ => &[],
        }
    }
}

/// Brings these engines up and writes `engines.json`. Whatever is up stays as it is.
///
/// Returns the path of `engines.json`. Killed half-way, the next `up` goes on, and `down` removes what was made.
pub fn up(dir: &Path, engines: &[Engine]) -> anyhow::Result<PathBuf> {
    let wanted = with_needs(engines);
    ensure(&wanted)?;
    let mut state = State::open(dir)?;
    for engine in wanted {
        let started = Instant::now();
        let found = engine.up(&mut state).with_context(|| format!("engine {} is not up", engine.name()))?;
        state.found(&engine.name(), found.clone())?;
        println!("{:8} {:6.1} s  {}", engine.name(), started.elapsed().as_secs_f64(), where_it_is(&found));
    }
    Ok(state.json())
}

/// Runs something beside these engines, in the usual state folder. It is given the file that tests read as
/// `DHOW_ENGINES`. Engines that were up before are left as they were found, others are stopped.
pub fn during(engines: &[Engine], run: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let state = State::usual_dir()?;
    let ours = !state.exists();
    let file = up(&state, engines)?;
    let ran = run(&file);
    let down = if ours { down(&state) } else { Ok(()) };
    ran.and(down)
}

/// Stops all that was started from this state folder, and removes the folder.
pub fn down(dir: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    if !dir.exists() {
        println!("nothing is up in {}", dir.display());
        return Ok(());
    }
    State::open(dir)?.down()?;
    println!("down     {:6.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Prints what is up, and where.
pub fn list(dir: &Path) -> anyhow::Result<()> {
    let found = if dir.exists() { State::open(dir)?.all_found()? } else { serde_json::Map::new() };
    for engine in Engine::value_variants() {
        let place = found.get(&engine.name()).map_or_else(|| "not up".into(), where_it_is);
        println!("{:8} {place}", engine.name());
    }
    Ok(())
}

/// What a person wants to know of an engine: one line.
fn where_it_is(found: &Value) -> String {
    let text = |key: &str| found.get(key).and_then(Value::as_str);
    let mut words: Vec<String> =
        ["host", "program", "plugin"].iter().filter_map(|key| text(key)).map(str::to_owned).collect();
    words.extend(text("version").map(|version| format!("({version})")));
    for host in found.get("hosts").and_then(Value::as_array).into_iter().flatten() {
        let part =
            |key: &str| host.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
        words.push(format!("{} root@{}:{}", part("name"), part("address"), part("port")));
    }
    words.join(" ")
}

/// The engines with what they need before them, each once.
fn with_needs(engines: &[Engine]) -> Vec<Engine> {
    let mut all: Vec<Engine> = Vec::new();
    for engine in engines.iter().flat_map(|engine| engine.needs().iter().chain([engine])) {
        if !all.contains(engine) {
            all.push(*engine);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_needs_comes_first_and_once() {
        let all = with_needs(&[Engine::Sshd, Engine::Swarm, Engine::Compose]);
        assert_eq!(all, [Engine::Compose, Engine::Sshd, Engine::Swarm]);
    }

    #[test]
    fn every_engine_has_a_name() {
        for engine in Engine::value_variants() {
            assert!(!engine.name().is_empty());
        }
    }
}
