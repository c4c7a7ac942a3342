//! `dhow policy select` on many tags.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::lab::Lab;
use crate::report::Report;

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let count = lab.count(100_000, 1_000);
    let tags: String =
        (0..count).map(|n| format!("v{}.{}.{}\n", 1 + n / 10_000, n / 100 % 100, n % 100)).collect();
    for (name, policy) in [("semver", ["--semver", ">=1.0.0"]), ("alphabetical", ["--alphabetical", "asc"])] {
        let mut times = Vec::new();
        for _ in 0..lab.count(20, 2) {
            let mut command = Command::new(&lab.dhow);
            command.args(["policy", "select"]).args(policy).stdin(Stdio::piped()).stdout(Stdio::piped());
            let begun = Instant::now();
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(tags.as_bytes()).await?;
            }
            let output = child.wait_with_output().await?;
            times.push(begun.elapsed());
            ensure!(output.status.success(), "dhow policy select failed");
        }
        report.times(&format!("policy select, {name}, {count} tags, the whole command"), &times, None, None);
    }
    Ok(())
}
