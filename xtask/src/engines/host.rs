//! A host of our own: processes, mounts and, where it wants one, a network, which end together.
//!
//! Its first process is the first of a PID namespace: when it ends, the kernel ends all the others, whatever they are.
//! Its mounts are in a mount namespace, which goes with them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::ledger::{Noted, Process, children};
use super::net::{self, Net};
use super::state::{MARK, State};
use super::{fence, machine, mounts};
use crate::process;

/// A host that runs.
pub struct Host {
    /// Its name, unique in the state folder.
    pub name: String,
    /// Its folder in the state folder.
    pub dir: PathBuf,
    /// Its network, if not the machine's.
    pub net: Option<Net>,
    state: PathBuf,
    noted: Noted,
}

/// What a host shares with the machine.
#[derive(Clone, Copy)]
pub enum Kind<'a> {
    /// The machine's network and files, and a bridge for containers: an engine "on this machine".
    Machine,
    /// The same without that bridge: one more engine.
    Beside,
    /// The machine's programs only: a server with this number.
    Server {
        /// Unique in the state folder.
        number: u8,
        /// The plugin `docker compose`, for the homes of its users.
        plugin: Option<&'a Path>,
    },
}

impl Host {
    /// Starts the host, or finds it running. A host that died is removed and made anew, with its files.
    pub fn up(state: &mut State, name: &str, kind: Kind<'_>) -> anyhow::Result<Self> {
        let slot = state.slot()?;
        let net = match kind {
            Kind::Machine | Kind::Beside => None,
            Kind::Server { number, .. } => Some(Net::new(slot, number, name)),
        };
        let dir = state.dir().join(name);
        let mut host =
            Self { name: name.to_owned(), dir, net, state: state.dir().to_owned(), noted: state.noted(name) };
        if is_up(&host.noted) {
            return Ok(host);
        }
        down(&host.noted)?;
        host.remove_files()?;
        host.make(state, slot, kind)?;
        Ok(host)
    }

    fn make(&mut self, state: &mut State, slot: u8, kind: Kind<'_>) -> anyhow::Result<()> {
        let link = match (&self.net, kind) {
            (Some(net), _) => Some(net.link.clone()),
            (None, Kind::Machine) => Some(net::bridge(slot)),
            (None, _) => None,
        };
        let netns = self.net.as_ref().map(|net| net.netns.clone());
        self.noted = Noted { netns, links: link.into_iter().collect(), ..Noted::default() };
        state.note(&self.name, self.noted.clone())?;
        fence::make(slot)?;
        match (&self.net, kind) {
            (Some(net), _) => net.make()?,
            (None, Kind::Machine) => net::make_bridge(slot)?,
            (None, _) => {}
        }
        fs::create_dir_all(self.dir.join("fs"))
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        self.hold()?;
        // Noted before its files are mounted: a half-made host is not up, as it has no first process yet.
        state.note(&self.name, Noted { init: None, ..self.noted.clone() })?;
        match kind {
            Kind::Server { plugin, .. } => {
                mounts::make(&self.fs(), plugin)?;
                mounts::mount(self, &self.fs(), plugin)?;
            }
            Kind::Machine | Kind::Beside => mounts::shield(self)?,
        }
        state.note(&self.name, self.noted.clone())
    }

    /// Starts the first process, which only waits and takes in orphans.
    fn hold(&mut self) -> anyhow::Result<()> {
        let mut words = vec![
            "unshare",
            "--mount",
            "--propagation",
            "slave",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ];
        let netns = self.net.as_ref().map(|net| format!("--net=/run/netns/{}", net.netns));
        if let Some(netns) = &netns {
            words.splice(0..0, ["nsenter", netns, "--"]);
            words.push("--uts");
        }
        words.extend(["--", "tini", "--", "sleep", "infinity"]);
        let (first, rest) = words.split_first().context("no words")?;
        let mut command = Command::new(first);
        command.args(rest).env("PATH", process::search_path());
        let holder = self.spawn(&mut command, "host")?;
        self.noted.holder = Some(holder);
        let is_tini = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "tini")
        };
        machine::wait(|| {
            self.noted.init = children(holder.pid).into_iter().find(is_tini).and_then(Process::of);
            self.noted.init.is_some() || !holder.is_alive()
        })?;
        self.noted
            .init
            .with_context(|| format!("the host's first process ended: see {}", self.log("host").display()))?;
        if self.net.is_some() {
            process::run(self.command("hostname")?.arg(&self.name))?;
        }
        Ok(())
    }

    /// The host's own files as the machine sees them: `/run` of the host is `run` in here.
    pub fn fs(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// The log of a service, outside the host.
    pub fn log(&self, service: &str) -> PathBuf {
        self.dir.join(format!("{service}.log"))
    }

    /// A command that runs inside the host.
    pub fn command(&self, program: &str) -> anyhow::Result<Command> {
        let init = self.noted.init.context("the host does not run")?;
        let mut command = Command::new("nsenter");
        command
            .env("PATH", process::search_path())
            .arg(format!("--target={}", init.pid))
            .args(["--mount", "--pid"]);
        if self.net.is_some() {
            command.args(["--net", "--uts"]);
        }
        command.args(["--", program]);
        Ok(command)
    }

    /// Starts a service inside the host, unless it runs and answers. A service that was killed is started again.
    pub fn start(
        &mut self,
        state: &mut State,
        service: &str,
        command: &mut Command,
        answers: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        if let Some(process) = self.noted.services.get(service).copied() {
            if process.is_alive() && answers() {
                return Ok(());
            }
            machine::kill(process)?;
        }
        // `nsenter` stays outside and ends with its child, the service.
        let outside = self.spawn(command, service)?;
        let mut inside = None;
        machine::wait(|| {
            inside = children(outside.pid).into_iter().find_map(Process::of);
            inside.is_some() || !outside.is_alive()
        })?;
        let inside = inside.with_context(|| self.ended(service))?;
        self.noted.services.insert(service.to_owned(), inside);
        state.note(&self.name, self.noted.clone())
    }

    /// Waits until a service answers.
    pub fn wait(&mut self, service: &str, answers: impl Fn() -> bool) -> anyhow::Result<()> {
        let process = self
            .noted
            .services
            .get(service)
            .copied()
            .with_context(|| format!("{service} was not started"))?;
        machine::wait(|| answers() || !process.is_alive())
            .with_context(|| format!("{service} does not answer: see {}", self.log(service).display()))?;
        if process.is_alive() { Ok(()) } else { bail!(self.ended(service)) }
    }

    fn ended(&self, service: &str) -> String {
        format!("{service} ended: see {}", self.log(service).display())
    }

    /// The process of a service, by the machine's ids.
    pub fn pid(&self, service: &str) -> Option<u32> {
        self.noted.services.get(service).map(|process| process.pid)
    }

    /// In a process group of its own, so that Ctrl-C on us does not reach it, with our mark and a log.
    fn spawn(&self, command: &mut Command, service: &str) -> anyhow::Result<Process> {
        let shown = process::show(command);
        let log =
            File::options().create(true).append(true).open(self.log(service)).context("cannot open a log")?;
        let errors = log.try_clone().context("cannot open a log")?;
        command.env(MARK, &self.state).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        Process::of(child.id())
            .with_context(|| format!("`{shown}` ended at once: see {}", self.log(service).display()))
    }

    fn remove_files(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.dir.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the host runs.
pub fn is_up(noted: &Noted) -> bool {
    noted.init.is_some_and(Process::is_alive)
}

/// Ends a host and removes its network. What is gone already is fine.
pub fn down(noted: &Noted) -> anyhow::Result<()> {
    let services = noted.services.values().copied();
    for process in noted.init.into_iter().chain(noted.holder).chain(services) {
        machine::kill(process)?;
    }
    for link in &noted.links {
        net::delete_link(link)?;
    }
    noted.netns.as_deref().map_or(Ok(()), net::delete_netns)
}
