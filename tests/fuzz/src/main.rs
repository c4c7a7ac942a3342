//! `cargo xtask fuzz` where libFuzzer cannot be built: the random stream for as long as is wanted.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use dhow_fuzz::{named, seeds, stream};

#[derive(Parser)]
struct Arguments {
    /// The target
    target: String,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The number of the stream
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Try these files alone
    files: Vec<std::path::PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { target, seconds, seed, files } = Arguments::parse();
    let target = named(&target).with_context(|| format!("there is no target {target:?}"))?;
    if !files.is_empty() {
        for file in files {
            (target.body)(&std::fs::read(&file).with_context(|| file.display().to_string())?);
        }
        return Ok(());
    }
    let seeds = seeds::read(target.name).with_context(|| format!("the seeds of {}", target.name))?;
    match stream::run(target, &seeds, seed, Duration::from_secs(seconds)) {
        Ok(ran) => {
            println!("{}: {} inputs of stream {seed} in {:.1?}: all held", target.name, ran.inputs, ran.took);
            Ok(())
        }
        Err(broken) => {
            let kept = std::env::temp_dir().join(format!("dhow-fuzz-{}-{seed}", target.name));
            std::fs::write(&kept, &broken.input)?;
            bail!(
                "input {} of stream {seed} broke a promise; it is kept in {}",
                broken.number,
                kept.display()
            )
        }
    }
}
