//! What a stopped engine leaves on the machine: processes and control groups.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::ledger::{Process, pids};
use super::state::MARK;

const PATIENCE: Duration = Duration::from_secs(20);

/// The control group under which a slot's containers run.
pub fn cgroup(slot: u8) -> String {
    format!("dhow-engines-{slot}")
}

/// Ends a process now, and waits until it is gone. One that is gone already is fine.
pub fn kill(process: Process) -> anyhow::Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| process.is_alive()) {
        // It may end by itself between the look and the signal: what counts is that it is gone.
        let _ = kill_process(pid, Signal::KILL);
    }
    wait(|| !process.is_alive()).with_context(|| format!("process {} does not end", process.pid))
}

/// Ends every process that carries our mark: what a killed `up` started and could not note.
pub fn kill_marked(state: &Path) -> anyhow::Result<()> {
    let mark = [MARK.as_bytes(), b"=", state.as_os_str().as_bytes()].concat();
    for process in pids().into_iter().filter_map(Process::of) {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        if process.pid != std::process::id()
            && environment.split(|byte| *byte == 0).any(|entry| entry == mark)
        {
            kill(process)?;
        }
    }
    Ok(())
}

/// Waits for a condition: looks again every 20 ms, for 20 s at most.
pub fn wait(mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > end {
            bail!("gave up after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Removes the empty control groups that containers leave behind, in every hierarchy.
pub fn remove_cgroups(name: &str) -> anyhow::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut tops = vec![root.join(name)];
    tops.extend(folders(root).into_iter().map(|dir| dir.join(name)));
    for top in tops.into_iter().filter(|top| top.is_dir()) {
        // The kernel takes a moment to let go of a group whose last process has just ended.
        wait(|| remove_tree(&top)).with_context(|| format!("{} is still in use", top.display()))?;
    }
    Ok(())
}

/// The files of a control group cannot be removed, only its folders, from the inside out.
fn remove_tree(dir: &Path) -> bool {
    let inner = folders(dir).iter().all(|dir| remove_tree(dir));
    inner && (fs::remove_dir(dir).is_ok() || !dir.exists())
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_with_our_mark_is_ended_and_no_other() {
        let state = std::env::temp_dir().join(format!("dhow-mark-{}", std::process::id()));
        let other = state.join("other");
        let mut ours = Command::new("sleep").arg("60").env(MARK, &state).spawn().unwrap();
        let mut theirs = Command::new("sleep").arg("60").env(MARK, &other).spawn().unwrap();
        let their_process = Process::of(theirs.id()).unwrap();
        kill_marked(&state).unwrap();
        assert!(!ours.wait().unwrap().success());
        assert!(their_process.is_alive());
        theirs.kill().unwrap();
        theirs.wait().unwrap();
    }

    #[test]
    fn what_is_gone_needs_no_end() {
        kill(Process { pid: std::process::id(), start: 0 }).unwrap();
    }
}
