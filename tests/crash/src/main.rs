//! The kill harness as a program: `cargo xtask crash` builds what it needs and runs it.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use dhow_crash::dock::{self, Dock};
use dhow_crash::lab::Lab;
use dhow_crash::load::Load;
use dhow_crash::point::{self, Point};
use dhow_crash::run::{self, Outcome};
use dhow_crash::scenario::{self, Scenario};

/// Kill the binary at every instant of its voyages, and compare the ends with those of undisturbed ones
#[derive(Parser)]
struct Cli {
    /// The binary, a debug build
    #[arg(long, value_name = "FILE")]
    dhow: PathBuf,
    /// Only these scenarios
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only so many points of each, spread over all of them
    #[arg(long, value_name = "COUNT")]
    sample: Option<usize>,
    /// Only these points, as a failure prints them: batch:12:before
    #[arg(long, value_name = "POINT")]
    point: Vec<String>,
    /// On real engines too: the scenarios compose, servers, swarm, caddy and traefik
    #[arg(long)]
    engines: bool,
    /// Kill so often at random under load, in place of the scenarios
    #[arg(long, value_name = "COUNT")]
    kills: Option<usize>,
    /// What chance is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Services under load
    #[arg(long, default_value_t = 50)]
    services: usize,
    /// Milliseconds between two versions under load
    #[arg(long, default_value_t = 100)]
    every: u64,
    /// Voyages at a time
    #[arg(long, default_value_t = 3)]
    width: usize,
    /// Longest time that anything may take, in seconds
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// The folders of failed voyages stay
    #[arg(long)]
    keep: bool,
}

/// Deaths after which it says how far it is.
const TOLD: usize = 25;

#[tokio::main]
async fn main() -> ExitCode {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<bool> {
    let mut lab = Lab::new(&cli.dhow);
    (lab.width, lab.keep, lab.patience) = (cli.width, cli.keep, Duration::from_secs(cli.patience));
    if let Some(kills) = cli.kills {
        let (services, every) = (cli.services, Duration::from_millis(cli.every));
        return at_random(&lab, &Load { services, every, kills, seed: cli.seed }).await;
    }
    let known: Vec<&str> =
        scenario::all().iter().map(|s| s.name()).chain(Dock::ALL.map(|(_, name)| name)).collect();
    if let Some(unknown) = cli.scenario.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no scenario {unknown:?}; there are {}", known.join(", "));
    }
    if let Some((_, name)) =
        Dock::ALL.iter().find(|(_, name)| !cli.engines && cli.scenario.iter().any(|s| s == name))
    {
        bail!("{name} runs on real engines; give --engines too");
    }
    let mut all_same = true;
    for scenario in scenario::all() {
        if cli.scenario.is_empty() || cli.scenario.iter().any(|name| name == scenario.name()) {
            all_same &= one(&lab, &cli, scenario.as_ref()).await?;
        }
    }
    for (dock, name) in Dock::ALL {
        if cli.engines && (cli.scenario.is_empty() || cli.scenario.iter().any(|wanted| wanted == name)) {
            all_same &= on_engines(&lab, &cli, dock, name).await?;
        }
    }
    Ok(all_same)
}

async fn on_engines(lab: &Lab, cli: &Cli, dock: Dock, name: &str) -> Result<bool> {
    let begun = Instant::now();
    let points = points(cli)?;
    let told = dock::run(lab, dock, cli.sample, points, |words| println!("{name}: {words}")).await?;
    let told = told.with_context(|| format!("{name}: its engines are not up"))?;
    for (point, wrong) in &told.wrong {
        println!("{name}, killed at {point}, ended otherwise:\n  {}", wrong.join("\n  "));
        println!("  again: cargo xtask crash --engines --scenario {name} --point {}", point.at());
    }
    println!(
        "{name}: {} ended as they should, {} did not come to their point, {} ended otherwise; {:.0?}",
        told.same,
        told.not_reached,
        told.wrong.len(),
        begun.elapsed()
    );
    Ok(told.wrong.is_empty())
}

/// The points that were asked for.
fn points(cli: &Cli) -> Result<Vec<Point>> {
    let point = |text: &String| Point::parse(text).with_context(|| format!("{text:?} is no point"));
    cli.point.iter().map(point).collect()
}

async fn at_random(lab: &Lab, load: &Load) -> Result<bool> {
    let begun = Instant::now();
    let progress = |kills: usize, versions: usize| {
        println!("{kills} kills, {versions} versions, {:.0?}", begun.elapsed())
    };
    println!("seed {}: {} kills under load", load.seed, load.kills);
    let told = load.run(lab, progress).await.with_context(|| format!("again: {}", load.again()))?;
    println!(
        "seed {}: {} kills, {} versions, {} events, at rest {:.1?} after the last kill; {:.0?}",
        load.seed,
        told.kills,
        told.versions,
        told.events,
        told.rest,
        begun.elapsed()
    );
    for wrong in &told.wrong {
        println!("  {wrong}");
    }
    if !told.wrong.is_empty() {
        println!("  again: {}", load.again());
    }
    Ok(told.wrong.is_empty())
}

async fn one(lab: &Lab, cli: &Cli, scenario: &dyn Scenario) -> Result<bool> {
    let begun = Instant::now();
    let reference = run::reference(lab, scenario).await?;
    let mut deaths = run::deaths(scenario, &reference);
    let all = deaths.len();
    if !cli.point.is_empty() {
        deaths = points(cli)?;
    } else if let Some(count) = cli.sample {
        deaths = point::sample(deaths, count);
    }
    let name = scenario.name();
    println!(
        "{name}: undisturbed in {:.1?}, {} points; {} of {all} deaths",
        reference.time,
        reference.passed.len(),
        deaths.len()
    );
    let (done, count) = (Cell::new(0), deaths.len());
    let told = |point: &Point, outcome: &Outcome| {
        done.set(done.get() + 1);
        if done.get() % TOLD == 0 && done.get() < count {
            println!("{name}: {} of {count} deaths, {:.0?}", done.get(), begun.elapsed());
        }
        if let Outcome::Differs(wrong) = outcome {
            println!("{name}, killed at {point}, ended otherwise:\n  {}", wrong.join("\n  "));
            println!("  again: cargo xtask crash --scenario {name} --point {}", point.at());
        }
    };
    let ended = run::each(lab, scenario, &reference, deaths, told).await;
    let count = |of: fn(&Outcome) -> bool| ended.iter().filter(|(_, outcome)| of(outcome)).count();
    let differ = count(|outcome| matches!(outcome, Outcome::Differs(_)));
    println!(
        "{name}: {} ended as undisturbed, {} did not come to their point, {differ} ended otherwise; {:.0?}",
        count(|outcome| *outcome == Outcome::Same),
        count(|outcome| *outcome == Outcome::NotReached),
        begun.elapsed()
    );
    Ok(differ == 0)
}
