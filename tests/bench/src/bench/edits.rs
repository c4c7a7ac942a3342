//! `dhow update`: versions written into YAML.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::process::Command;

use crate::lab::Lab;
use crate::report::Report;

/// Sets a version, and gives how long it took.
async fn set(lab: &Lab, at: &Path, version: usize) -> Result<Duration> {
    let begun = Instant::now();
    let to = format!("ghcr.io/acme/app=ghcr.io/acme/app:1.{version}.0");
    let output = Command::new(&lab.dhow).args(["update", "--set", &to]).arg(at).output().await?;
    let took = begun.elapsed();
    ensure!(output.status.success(), "dhow update: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scalars = lab.count(20_000, 200);
    let mut text = String::from("services:\n");
    for number in 0..scalars / 2 {
        let app = if number % 100 == 0 { "app" } else { "other" };
        text += &format!("  s{number}:\n    image: ghcr.io/acme/{app}:1.0.0 # kept\n    restart: always\n");
    }
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, text)?;
    let mut times = Vec::new();
    for version in 1..=lab.count(20, 2) {
        times.push(set(lab, &file, version).await?);
    }
    report.times(&format!("update, one file of {scalars} scalars, the whole command"), &times, None, None);

    let many = tempfile::tempdir()?;
    let files = lab.count(5_000, 50);
    for number in 0..files {
        let folder = many.path().join(format!("services/s{number}/compose/stage"));
        std::fs::create_dir_all(&folder)?;
        let app = if number % 100 == 0 { "app" } else { "other" };
        let text = format!("services:\n  web:\n    image: ghcr.io/acme/{app}:1.0.0\n    ports: [\"80\"]\n");
        std::fs::write(folder.join("compose.yaml"), text)?;
    }
    let mut times = Vec::new();
    for version in 1..=lab.count(20, 2) {
        times.push(set(lab, many.path(), version).await?);
    }
    report.times(&format!("update, a fleet of {files} files, the whole command"), &times, None, None);
    Ok(())
}
