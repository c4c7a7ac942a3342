//! What was started, as the state folder's ledger has it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All that was made from one state folder and outlives us, noted before it is made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Names and addresses of this state folder are those of its slot: two folders never collide.
    pub slot: Option<u8>,
    /// Whether the folder of network namespaces was mounted for us: `ip` does that once, and never takes it back.
    #[serde(default)]
    pub mounts_netns: bool,
    /// Each host, by name.
    pub hosts: BTreeMap<String, Noted>,
    /// Where each engine is, by name: what `engines.json` holds.
    pub found: Map<String, Value>,
}

/// What was made for one host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Noted {
    /// The network namespace.
    pub netns: Option<String>,
    /// Interfaces on the machine's own side: our end of a pair, or a bridge.
    pub links: Vec<String>,
    /// The process outside, whose death ends the host.
    pub holder: Option<Process>,
    /// The first process inside: all others of the host end with it.
    pub init: Option<Process>,
    /// Processes inside that `up` started, by name. Ids are those of the machine.
    pub services: BTreeMap<String, Process>,
}

/// A process that is known again: an id alone may be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Clock ticks after the machine's start.
    pub start: u64,
}

impl Process {
    /// The process that has this id now, if any; a zombie is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields = fields(&stat)?;
        (*fields.first()? != "Z").then_some(())?;
        Some(Self { pid, start: fields.get(19)?.parse().ok()? })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let parent_of = stat.as_deref().and_then(fields).and_then(|fields| fields.get(1)?.parse().ok());
        parent_of == Some(parent)
    };
    pids().into_iter().filter(is_child).collect()
}

/// All processes of the machine.
pub fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The fields of `/proc/PID/stat` behind the name, which may hold anything: state, parent, ...
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

impl Ledger {
    /// Reads the ledger; an absent one is empty.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        match fs::read(file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged: stop what it lists by hand and remove it", file.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes it whole or not at all.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        write_whole(file, &serde_json::to_vec_pretty(self)?)
    }
}

/// Replaces a file: a reader sees the old one or the new one, never a part.
pub fn write_whole(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = file.with_extension("part");
    let written =
        fs::File::create(&part).and_then(|mut to| to.write_all(bytes)).and_then(|()| fs::rename(&part, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_another_with_its_id_is_not() {
        let us = Process::of(std::process::id()).unwrap();
        assert!(us.is_alive());
        assert!(!Process { start: us.start + 1, ..us }.is_alive());
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        assert_eq!(fields("12 (a) b (c) S 7 12").unwrap(), ["S", "7", "12"]);
    }

    #[test]
    fn a_child_is_found_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
