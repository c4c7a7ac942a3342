//! The state folder: what is up, under one lock.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::ledger::{Ledger, Noted, write_whole};
use super::{host, machine, mounts, net};
use crate::debian;

/// Only root can start engines; this folder is on a disk, which images need, and only root can write beside it.
const USUAL: &str = "/var/lib/dhow-engines";

/// Set in every process that we start: whoever still has it at `down` is ours.
pub const MARK: &str = "DHOW_ENGINES_STATE";

/// A socket's path has at most 108 bytes; this leaves room for what stands below the folder.
const LONGEST: usize = 60;

/// The state folder, held by us alone until dropped.
pub struct State {
    dir: PathBuf,
    ledger: Ledger,
    _lock: File,
}

impl State {
    /// Where engines are kept when nobody says otherwise.
    pub fn usual_dir() -> anyhow::Result<PathBuf> {
        if !debian::is_root() {
            bail!("only root can start engines: run this with sudo");
        }
        Ok(PathBuf::from(USUAL))
    }

    /// Opens or makes the folder, and waits for another run that holds it.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use the state folder {}", dir.display());
        DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(cannot)?;
        let dir = dir.canonicalize().with_context(cannot)?;
        if dir.as_os_str().len() > LONGEST {
            bail!(
                "{} is too long for the sockets in it: choose a path of at most {LONGEST} bytes",
                dir.display()
            );
        }
        let lock = File::create(dir.join("lock")).with_context(cannot)?;
        lock.lock().with_context(cannot)?;
        let ledger = Ledger::read(&dir.join("ledger.json"))?;
        Ok(Self { dir, ledger, _lock: lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that tells tests where the engines are.
    pub fn json(&self) -> PathBuf {
        self.dir.join("engines.json")
    }

    /// The folder's slot, chosen once.
    pub fn slot(&mut self) -> anyhow::Result<u8> {
        if let Some(slot) = self.ledger.slot {
            return Ok(slot);
        }
        let slot = net::free_slot()?;
        self.ledger.slot = Some(slot);
        self.ledger.mounts_netns = !net::is_netns_mounted()?;
        self.save()?;
        Ok(slot)
    }

    /// What is noted of a host.
    pub fn noted(&self, host: &str) -> Noted {
        self.ledger.hosts.get(host).cloned().unwrap_or_default()
    }

    /// Notes what was, or is about to be, made for a host.
    pub fn note(&mut self, host: &str, noted: Noted) -> anyhow::Result<()> {
        self.ledger.hosts.insert(host.to_owned(), noted);
        self.save()
    }

    /// Notes where an engine is.
    pub fn found(&mut self, engine: &str, found: Value) -> anyhow::Result<()> {
        self.ledger.found.insert(engine.to_owned(), found);
        self.save()?;
        let xtask = self.keep_us()?;
        let all = json!({ "version": 1, "state": self.dir, "xtask": xtask, "engines": self.ledger.found });
        write_whole(&self.json(), &serde_json::to_vec_pretty(&all)?)
    }

    /// Tests call us to mend what they broke: a copy, which another build does not change.
    fn keep_us(&self) -> anyhow::Result<PathBuf> {
        let (copy, part) = (self.dir.join("xtask"), self.dir.join("xtask.part"));
        // The running file itself, even if another was built in its place.
        let us = Path::new("/proc/self/exe");
        let size = |file: &Path| fs::metadata(file).map(|found| found.len()).ok();
        if size(us) != size(&copy) {
            let copied = fs::copy(us, &part).and_then(|_| fs::rename(&part, &copy));
            copied.with_context(|| format!("cannot write {}", copy.display()))?;
        }
        Ok(copy)
    }

    /// Where each engine is that is still up.
    pub fn all_found(self) -> anyhow::Result<Map<String, Value>> {
        let mut found = self.ledger.found;
        for host in self.ledger.hosts.iter().filter(|(_, noted)| !host::is_up(noted)).map(|(name, _)| name) {
            let engine = if matches!(host.as_str(), "docker" | "spare" | "swarm") { host } else { "sshd" };
            found.remove(engine);
        }
        Ok(found)
    }

    /// Stops and removes all that was made, and the folder last: interrupted, it is run again.
    pub fn down(self) -> anyhow::Result<()> {
        for (name, noted) in &self.ledger.hosts {
            host::down(noted).with_context(|| format!("host {name} is not down"))?;
        }
        machine::kill_marked(&self.dir)?;
        mounts::unshield();
        if let Some(slot) = self.ledger.slot {
            net::remove_all(slot)?;
            if self.ledger.mounts_netns {
                net::unmount_netns()?;
            }
            machine::remove_cgroups(&machine::cgroup(slot))?;
        }
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn save(&self) -> anyhow::Result<()> {
        self.ledger.write(&self.dir.join("ledger.json"))
    }
}
