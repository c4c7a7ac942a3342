//! Deaths at random under load: versions come all the time, people say yes, one environment fails, and the process is
//! killed again and again. At the end everything that was published is where the policies say.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::facts;
use crate::lab::Lab;
use crate::point::Point;
use crate::scenario::{gated, site};
use crate::world::{Harbor, Rig, World};

/// What goes on while it is killed.
#[derive(Debug, Clone)]
pub struct Load {
    /// Services, each in stage and production; every fifth in an environment that fails, too.
    pub services: usize,
    /// Between two versions.
    pub every: Duration,
    /// How often the process is killed.
    pub kills: usize,
    /// From which the services, the times and the points of death are drawn.
    pub seed: u64,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// How often it was killed.
    pub kills: usize,
    /// Versions that were published.
    pub versions: usize,
    /// Facts in the log at the end.
    pub events: usize,
    /// How long it took to come to rest after the last kill.
    pub rest: Duration,
    /// What was wrong at the end.
    pub wrong: Vec<String>,
}

/// Longest time for which a process is left alone; it does something in it.
const LIFE: Duration = Duration::from_millis(2_500);
/// Publishers at a time.
const PUBLISHERS: usize = 3;

struct State {
    published: Mutex<BTreeMap<usize, u32>>,
    over: AtomicBool,
}

fn name(service: usize) -> String {
    format!("s{service:02}")
}

fn fails(service: usize) -> bool {
    service.is_multiple_of(5)
}

fn fleet(services: usize) -> Vec<(String, String)> {
    let names: Vec<String> = (0..services).map(name).collect();
    let mut files = gated(&names.iter().map(String::as_str).collect::<Vec<_>>());
    files[0].1.push_str("  canary: { from: stage }\n");
    for service in (0..services).filter(|service| fails(*service)) {
        let text = format!(
            "bundle: dhow.test/{0}/web\nchecks:\n  - http: {{ url: \"http://{{host}}/health\", contains: never }}\n    \
             limit: 200ms\n    retry: 50ms\n",
            name(service)
        );
        files.push((format!("services/{}/static_file/canary/dhow.yaml", name(service)), text));
    }
    files
}

impl Load {
    /// How to do it again.
    pub fn again(&self) -> String {
        format!("cargo xtask crash --kills {} --seed {} --services {}", self.kills, self.seed, self.services)
    }

    /// Points at which half of the processes die; the others die at a time.
    fn lives(&self) -> Vec<Point> {
        let mut random = StdRng::seed_from_u64(self.seed ^ 1);
        let mut one = || {
            let (class, most) = match random.random_range(0..10) {
                0..4 => ("batch", 60),
                4 => ("write", 3),
                5 | 6 => ("push", 3),
                7 => ("bundle", 8),
                8 => ("step", 20),
                _ => ("branch", 4),
            };
            let number = if random.random_bool(0.5) { random.random_range(1..=most) } else { u64::MAX };
            let side = match random.random_range(0..3) {
                0 => "before".to_owned(),
                1 => "after".to_owned(),
                _ => format!("+{}", random.random_range(0..20_000)),
            };
            Point { class: class.into(), number, side, words: String::new() }
        };
        (0..self.kills).map(|_| one()).collect()
    }

    /// Does it. `told` hears of the kills as they happen.
    ///
    /// # Errors
    /// Nobody answers any more, or something that was published is not taken.
    pub async fn run(&self, lab: &Lab, told: impl Fn(usize, usize)) -> Result<Told> {
        let harbor = Harbor::with(&fleet(self.services)).await?;
        let world = World::start(lab, &Rig::default(), harbor, self.lives())?;
        let state = State { published: Mutex::default(), over: AtomicBool::new(false) };
        let publishers =
            futures::future::try_join_all((0..PUBLISHERS).map(|n| self.publish(&world, &state, n)));
        let (published, approved, killed) =
            tokio::join!(publishers, approve(&world, &state), self.kill(&world, &state, told));
        published.context("publishing")?;
        approved.context("approving")?;
        killed.context("killing")?;
        let begun = Instant::now();
        let published = state.published.lock().map(|p| p.clone()).unwrap_or_default();
        let mut wrong = self.settled(&world, &published).await?;
        let rest = begun.elapsed();
        world.quiet(Duration::from_secs(1)).await?;
        wrong.extend(facts::problems(&world).await?);
        let events = world.history().await?;
        wrong.extend(twice(&events));
        let versions = published.values().map(|last| *last as usize).sum();
        let kills = world.keeper.deaths();
        if !wrong.is_empty() && lab.keep {
            wrong.push(format!("its folder stays: {}", world.keep().display()));
        }
        Ok(Told { kills, versions, events: events.len(), rest, wrong })
    }

    async fn publish(&self, world: &World, state: &State, publisher: usize) -> Result<()> {
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(2 + publisher as u64));
        let ours: Vec<usize> =
            (0..self.services).filter(|service| service % PUBLISHERS == publisher).collect();
        let pause = self.every * u32::try_from(PUBLISHERS).unwrap_or(1);
        while !state.over.load(Ordering::SeqCst) {
            let next = Instant::now() + pause;
            let service = ours[random.random_range(0..ours.len())];
            let version = state.published.lock().map_or(0, |p| p.get(&service).copied().unwrap_or(0)) + 1;
            let name = name(service);
            let files = site(&format!("{name} {version}"));
            world.publish(&files, &format!("{name}/web:1.0.{version}")).await?;
            if let Ok(mut published) = state.published.lock() {
                published.insert(service, version);
            }
            tokio::time::sleep_until(next).await;
        }
        Ok(())
    }

    async fn kill(&self, world: &World, state: &State, told: impl Fn(usize, usize)) -> Result<()> {
        let mut random = StdRng::seed_from_u64(self.seed);
        loop {
            let deaths = world.keeper.deaths();
            if deaths >= self.kills {
                break;
            }
            world.keeper.door(world.lab.patience).await?;
            let most = if random.random_bool(0.3) { 150 } else { 2_500 };
            let until = Instant::now() + Duration::from_millis(random.random_range(0..most)).min(LIFE);
            while Instant::now() < until && world.keeper.deaths() == deaths {
                sleep(Duration::from_millis(10)).await;
            }
            if world.keeper.deaths() == deaths {
                world.keeper.kill().await;
            }
            if world.keeper.deaths().is_multiple_of(25) {
                let versions = state.published.lock().map_or(0, |p| p.values().sum::<u32>());
                told(world.keeper.deaths(), versions as usize);
            }
        }
        state.over.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Waits until everything is where it should be; what is not, in the end.
    async fn settled(&self, world: &World, published: &BTreeMap<usize, u32>) -> Result<Vec<String>> {
        let mut deadline = Instant::now() + world.lab.patience;
        let mut last = Value::Null;
        loop {
            say_yes(world).await?;
            let status = world.get("status").await?;
            let wrong = misplaced(&status, published);
            if wrong.is_empty() {
                return pages(world, published).await;
            }
            // As long as something happens, it is waited for.
            let newest = world.get("history?limit=1&newest_first=true").await?["events"][0]["seq"].clone();
            if newest != last {
                last = newest;
                deadline = Instant::now() + world.lab.patience;
            }
            if Instant::now() > deadline {
                return Ok(wrong);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn approve(world: &World, state: &State) -> Result<()> {
    while !state.over.load(Ordering::SeqCst) {
        say_yes(world).await?;
        sleep(Duration::from_millis(400)).await;
    }
    Ok(())
}

/// Says yes to all that is asked. A question may be gone by then: a newer one took its place.
async fn say_yes(world: &World) -> Result<()> {
    let status = world.get("status").await?;
    for question in status["proposals"].as_array().into_iter().flatten() {
        let path = format!(
            "approve/{}/{}",
            question["service"].as_str().unwrap_or_default(),
            question["environment"].as_str().unwrap_or_default()
        );
        let _ = world.act(&path, &json!({ "id": question["id"] })).await?;
    }
    Ok(())
}

/// What is not where the policies say.
fn misplaced(status: &Value, published: &BTreeMap<usize, u32>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in status["deployments"].as_array().into_iter().flatten() {
        let service = row["service"].as_str().and_then(|name| name.strip_prefix('s')?.parse().ok());
        let Some(version) = service.and_then(|service: usize| published.get(&service)) else { continue };
        seen += 1;
        let tag = format!("1.0.{version}");
        let runs =
            row["running"][0]["tag"] == *tag && row["health"] == "healthy" && row["phase"] == "succeeded";
        let is_right = match row["environment"].as_str() {
            Some("canary") => row["running"].as_array().is_none_or(Vec::is_empty) && ended(row),
            _ => runs && row["desired"][0]["tag"] == *tag,
        };
        if !is_right {
            let (name, shown) = crate::end::deployment(row);
            wrong.push(format!("{name} is not as it should be with {tag}: {shown}"));
        }
    }
    if seen < published.len() * 2 {
        wrong.push(format!("only {seen} deployments are shown of {} services", published.len()));
    }
    wrong
}

fn ended(row: &Value) -> bool {
    matches!(row["phase"].as_str(), Some("stalled" | "rolled_back" | "none"))
}

/// What visitors get that they should not.
async fn pages(world: &World, published: &BTreeMap<usize, u32>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (service, version) in published {
        let name = name(*service);
        for environment in ["stage", "production"] {
            let page = world.page(&format!("{name}.{environment}.localhost")).await.unwrap_or_default();
            if !page.ends_with(&format!("<h1>{name} {version}</h1>")) {
                wrong.push(format!("{name} in {environment} serves {page:?} in place of version {version}"));
            }
        }
    }
    Ok(wrong)
}

/// What happened twice although versions only ever grew.
fn twice(events: &[Value]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        let field = |name: &str| event[name].as_str().unwrap_or_default();
        let what = match field("kind") {
            "version_seen" => format!("seen: {} {}", field("repository"), field("tag")),
            "rollout_queued" => format!("rolled out: {} {}", field("deployment"), field("hash")),
            "quarantined" => format!("in quarantine: {} {}", field("environment"), field("digest")),
            _ => continue,
        };
        *seen.entry(what).or_default() += 1;
    }
    seen.into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(what, count)| format!("{count} times {what}"))
        .collect()
}
