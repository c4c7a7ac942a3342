//! Rollouts of containers on the real engines, killed at their steps: Compose here, on servers and behind proxies, and
//! Swarm.
//!
//! Containers are not copied with a folder. So there is one world, and a version for each death: it must come to run
//! everywhere, by one rollout, and nothing of an older one may be left.

mod proxy;
mod yard;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::facts;
use crate::lab::Lab;
use crate::point::{self, Point};
use crate::world::World;
use yard::Yard;

/// Where containers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dock {
    /// Compose on this machine.
    Compose,
    /// Compose on three servers over SSH.
    Servers,
    /// A swarm, whose manager is reached over SSH.
    Swarm,
    /// Compose on this machine, behind a Caddy whose routes are changed by its API.
    Caddy,
    /// Compose on this machine, behind a Traefik whose routes are files.
    Traefik,
}

impl Dock {
    /// All of them, with their names for `--scenario`.
    pub const ALL: [(Self, &str); 5] = [
        (Self::Compose, "compose"),
        (Self::Servers, "servers"),
        (Self::Swarm, "swarm"),
        (Self::Caddy, "caddy"),
        (Self::Traefik, "traefik"),
    ];
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Told {
    /// Deaths that ended as they should.
    pub same: usize,
    /// Points that were not reached.
    pub not_reached: usize,
    /// Points after which something was wrong, and what.
    pub wrong: Vec<(Point, Vec<String>)>,
}

/// Microseconds after which a process dies in the midst of a step: an engine takes longer than a disk.
const WITHIN: [u64; 3] = [20_000, 150_000, 500_000];

/// Deaths after which it says how far it is.
const TOLD: usize = 10;

/// All the ways to die at the steps of a rollout.
fn deaths(passed: &[Point]) -> Vec<Point> {
    let mut all = Vec::new();
    let mut said = BTreeSet::new();
    for point in passed {
        let at = |side: String| Point { side, ..point.clone() };
        match point.class.as_str() {
            "step" => {
                all.extend(["before", "after"].map(|side| at(side.to_owned())));
                all.extend(WITHIN.map(|micros| at(format!("+{micros}"))));
            }
            "batch" if said.insert(point.words.clone()) => {
                all.extend(["before", "after"].map(|side| at(side.to_owned())));
            }
            _ => {}
        }
    }
    all
}

/// Kills rollouts there: at `sample` points, spread over all, or at these; none of both: at all. No answer: the engines
/// are not up.
///
/// # Errors
/// The undisturbed rollouts fail.
pub async fn run(
    lab: &Lab,
    dock: Dock,
    sample: Option<usize>,
    points: Vec<Point>,
    told: impl Fn(&str),
) -> Result<Option<Told>> {
    let Some(yard) = Yard::at(dock)? else { return Ok(None) };
    yard.listens(lab.patience).await?;
    let mut world = World::start(lab, &yard.rig(), yard.harbor().await?, Vec::new())?;
    let mut passed = Vec::new();
    for version in ["1.0.0", "1.0.1"] {
        let before = world.passed().map_or(0, |points| points.len());
        yard.carry(&world, version).await?;
        world.quiet(Duration::from_secs(1)).await?;
        passed = world.passed()?.split_off(before);
        // The next process counts from 1 again.
        world = World::start(lab, &yard.rig(), world.end().await?, Vec::new())?;
    }
    // What a process passes before it comes to the rollout is not in this list: starts are short, and the same.
    let mut numbered = std::collections::BTreeMap::new();
    for point in &mut passed {
        let number: &mut u64 = numbered.entry(point.class.clone()).or_default();
        *number += 1;
        point.number = *number;
    }
    let mut all = if points.is_empty() { deaths(&passed) } else { points };
    let count = all.len();
    if let Some(sample) = sample {
        all = point::sample(all, sample);
    }
    told(&format!("{} points, {} of {count} deaths", passed.len(), all.len()));
    let mut ended = Told::default();
    let deaths = all.len();
    for (number, death) in all.into_iter().enumerate() {
        if number > 0 && number % TOLD == 0 {
            told(&format!("{number} of {deaths} deaths"));
        }
        let harbor = world.end().await?;
        world = World::start(lab, &yard.rig(), harbor, vec![death.clone()])?;
        let version = format!("2.{number}.0");
        let wrong = match yard.carry(&world, &version).await {
            Ok(()) => wrong(&world, number + 3).await?,
            Err(error) => vec![format!("{error:#}"), world.keeper.said()],
        };
        match (wrong.is_empty(), world.keeper.deaths()) {
            (true, 0) => ended.not_reached += 1,
            (true, _) => ended.same += 1,
            (false, _) => {
                ended.wrong.push((death, wrong));
                if ended.wrong.len() > 2 {
                    break;
                }
            }
        }
    }
    Ok(Some(ended))
}

/// What must not be after so many versions.
async fn wrong(world: &World, versions: usize) -> Result<Vec<String>> {
    world.quiet(Duration::from_millis(700)).await?;
    let mut wrong = facts::problems(world).await?;
    let events = world.history().await?;
    let count = |is_it: &dyn Fn(&Value) -> bool| events.iter().filter(|event| is_it(event)).count();
    for (what, found) in [
        ("rollouts were made", count(&|e| e["kind"] == "rollout_queued")),
        ("rollouts succeeded", count(&|e| e["kind"] == "rollout_moved" && e["to"] == "succeeded")),
        ("updates were selected", count(&|e| e["kind"] == "update_selected")),
    ] {
        if found != versions {
            wrong.push(format!("{found} {what}, of {versions} versions"));
        }
    }
    Ok(wrong)
}
