//! What the kernel says of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Memory in use now, in MiB.
    pub fn memory(self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most memory that it ever used, in MiB.
    pub fn peak(self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(self, key: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no such line")?;
        Ok(kib.trim().parse::<f64>()? / 1024.0)
    }

    /// Processor time so far, children that ended included.
    pub fn cpu(self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let fields: Vec<&str> = text.rsplit_once(')').context("no name")?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11..15).context("too short")?.iter().filter_map(|f| f.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
    }

    /// Sends a signal.
    pub fn signal(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.cast_signed()).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }
}
