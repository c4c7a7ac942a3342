//! How fast Dhow is: the real binary, as its own process, on real Git, registries and disks.
//!
//! `cargo xtask bench` builds it and what it measures, and starts it. Every figure stands beside its goal.

mod bench;
mod lab;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::bench::Bench;
use crate::lab::Lab;
use crate::report::Report;

/// Measures Dhow, and prints a table against its goals.
#[derive(Parser)]
#[command(name = "dhow-bench")]
struct Args {
    /// What to measure; all where none is named
    #[arg(value_enum)]
    names: Vec<Bench>,
    /// The program, as `cargo build --release` makes it
    #[arg(long, value_name = "FILE")]
    dhow: PathBuf,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Write the figures as JSON here, too
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Fewer repetitions and smaller sizes: to see that everything can be measured
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    /// As docs/performance.md has it.
    Markdown,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let dhow = args.dhow.canonicalize().with_context(|| format!("there is no {}", args.dhow.display()))?;
    let lab = Lab { dhow, quick: args.quick };
    let names = if args.names.is_empty() { Bench::value_variants().to_vec() } else { args.names };
    let mut report = Report::default();
    for name in names {
        eprintln!("measuring {name:?}");
        name.run(&lab, &mut report).await.with_context(|| format!("{name:?} could not be measured"))?;
    }
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(path) = args.write {
        std::fs::write(&path, &json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match args.output {
        Output::Json => println!("{json}"),
        Output::Text => println!("{}", report.table()),
        Output::Markdown => println!("{}", report.markdown()),
    }
    Ok(ExitCode::SUCCESS)
}
