//! Voyages, killed and not, and whether they end alike.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::end::{self, End};
use crate::facts;
use crate::lab::Lab;
use crate::point::{self, Point};
use crate::scenario::Scenario;
use crate::world::{Harbor, World};

/// Nothing happens for this time: the voyage is at its end.
const QUIET: Duration = Duration::from_millis(700);
/// Looks at a voyage that should be at its end.
const LOOK: Duration = Duration::from_millis(150);

/// A scenario that went undisturbed: where killed voyages begin, how they should end, and what is passed on the way.
pub struct Reference {
    harbor: Harbor,
    /// How it ended.
    pub end: End,
    /// The points that it passed.
    pub passed: Vec<Point>,
    /// How long it took.
    pub time: Duration,
}

/// All the ways to die in a scenario.
pub fn deaths(scenario: &dyn Scenario, reference: &Reference) -> Vec<Point> {
    match scenario.own_deaths() {
        0 => point::deaths(&reference.passed),
        own => point::own(own),
    }
}

/// What became of a killed voyage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended as the undisturbed one.
    Same,
    /// It never came to the point; it ended as the undisturbed one.
    NotReached,
    /// It did not end so: what differs.
    Differs(Vec<String>),
}

/// A scenario, undisturbed.
///
/// # Errors
/// It does not come to its end, or what it tells of itself is wrong.
pub async fn reference(lab: &Lab, scenario: &dyn Scenario) -> Result<Reference> {
    let harbor = Harbor::with(&scenario.fleet()).await?;
    let world = World::start(lab, &scenario.rig(), harbor, Vec::new())?;
    world.keeper.door(lab.patience).await?;
    let prepared = scenario.prepare(&world).await;
    prepared.with_context(|| format!("{} cannot be prepared: {}", scenario.name(), world.keeper.said()))?;
    // A state that was never used is a part of the first voyage.
    let used = scenario.uses_a_state();
    if used {
        world.quiet(QUIET).await?;
    }
    let prepared = world.end().await?;
    let harbor = if used { prepared } else { Harbor::with(&scenario.fleet()).await? };
    let begun = Instant::now();
    let world = World::start(lab, &scenario.rig(), harbor.copy().await?, Vec::new())?;
    let acted = scenario.act(&world).await;
    acted.with_context(|| format!("{} fails undisturbed: {}", scenario.name(), world.keeper.said()))?;
    let time = begun.elapsed();
    world.quiet(QUIET).await?;
    let (end, problems) = (end::look(&world).await?, facts::problems(&world).await?);
    let passed = world.passed()?;
    if !problems.is_empty() {
        bail!("{}, undisturbed:\n{}", scenario.name(), problems.join("\n"));
    }
    world.end().await?;
    Ok(Reference { harbor, end, passed, time })
}

/// A voyage that dies at these points, one after the other.
pub async fn killed(lab: &Lab, scenario: &dyn Scenario, reference: &Reference, lives: Vec<Point>) -> Outcome {
    match voyage(lab, scenario, reference, lives).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Differs(vec![format!("{error:#}")]),
    }
}

async fn voyage(
    lab: &Lab,
    scenario: &dyn Scenario,
    reference: &Reference,
    lives: Vec<Point>,
) -> Result<Outcome> {
    let wanted = lives.len();
    let world = World::start(lab, &scenario.rig(), reference.harbor.copy().await?, lives)?;
    let wrong = match scenario.act(&world).await {
        Ok(()) => ends_as(lab, &world, reference).await?,
        Err(error) => vec![format!("{error:#}"), format!("dhow said: {}", world.keeper.said())],
    };
    if wrong.is_empty() {
        let reached = world.keeper.deaths() >= wanted;
        return Ok(if reached { Outcome::Same } else { Outcome::NotReached });
    }
    let mut wrong = wrong;
    if lab.keep {
        wrong.push(format!("its folder stays: {}", world.keep().display()));
    }
    Ok(Outcome::Differs(wrong))
}

/// What of its end differs, once nothing goes on any more.
async fn ends_as(lab: &Lab, world: &World, reference: &Reference) -> Result<Vec<String>> {
    let deadline = Instant::now() + lab.patience;
    while Instant::now() < deadline && end::look(world).await? != reference.end {
        sleep(LOOK).await;
    }
    // What comes late comes within a pass.
    world.quiet(QUIET).await?;
    let mut wrong = end::differences(&reference.end, &end::look(world).await?);
    wrong.extend(facts::problems(world).await?);
    Ok(wrong)
}

/// Each of these deaths in a voyage of its own, some at a time. `told` hears of each as it ends.
pub async fn each(
    lab: &Lab,
    scenario: &dyn Scenario,
    reference: &Reference,
    deaths: Vec<Point>,
    told: impl Fn(&Point, &Outcome),
) -> Vec<(Point, Outcome)> {
    let voyages = futures::stream::iter(deaths).map(|point| async move {
        let outcome = killed(lab, scenario, reference, vec![point.clone()]).await;
        (point, outcome)
    });
    let mut all = Vec::new();
    let mut voyages = std::pin::pin!(voyages.buffer_unordered(lab.width));
    while let Some((point, outcome)) = voyages.next().await {
        told(&point, &outcome);
        all.push((point, outcome));
    }
    all
}
