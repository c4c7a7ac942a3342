//! Failures have stopped: everything comes to rest, and what runs is what the fleet says or what a conclusion says.

use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::rollout::{
    CommitAttempt, Debt, DeploymentRow, Event, Health, Hold, HoldReason, Owed, Release, Rollout, State,
    UpdateRow,
};

use crate::support::{World, deployment, tag_in};

use super::action::{Env, Gates, Svc};
use super::promises::digests;
use super::reference::Reference;
use super::{Broken, act, shop};

/// How often nothing new may be waited for.
const LOOKS: usize = 12;
/// Longer than any interval, backoff and soak.
const WHILE: Duration = Duration::from_secs(400);

/// Waits until nothing happens any more, and looks at the end.
pub fn come_to_rest(world: &mut World, known: &mut Reference) -> Result<(), Broken> {
    act::mend_all(world);
    world.nudge_fleet();
    let mut quiet = 0;
    for _ in 0..LOOKS {
        let before = known.heard;
        world.pass(WHILE);
        known.look(world).map_err(|broken| format!("at the end: {broken}"))?;
        quiet = if known.heard == before { quiet + 1 } else { 0 };
        if quiet == 2 {
            return rest(world, known).map_err(|broken| format!("at rest: {broken}"));
        }
    }
    let last: Vec<String> = world
        .events_after(known.heard.saturating_sub(12))
        .into_iter()
        .map(|(_, _, event)| kind(&event))
        .collect();
    Err(format!("it never comes to rest; the last events: {last:#?}"))
}

fn rest(world: &World, known: &Reference) -> Result<(), Broken> {
    for (svc, env) in Svc::ALL.into_iter().flat_map(|svc| Env::ALL.map(|env| (svc, env))) {
        for id in shop::deployments(svc, env) {
            if known.is_removed(svc, env) { gone(world, known, id)? } else { stands(world, known, id)? }
        }
        if !known.is_removed(svc, env) {
            together(world, known, svc, env)?;
            selected(world, known, svc, env)?;
        }
    }
    let updates: Vec<UpdateRow> = world.list("");
    if !updates.is_empty() {
        return Err(format!("updates never came into the fleet: {updates:?}"));
    }
    let attempts: Vec<CommitAttempt> = world.list("commit/");
    match attempts.iter().find(|attempt| !attempt.done) {
        Some(attempt) => Err(format!("it is not known whether {} was pushed", attempt.commit)),
        None => Ok(()),
    }
}

/// What left the fleet does not run any more, unless people are asked.
fn gone(world: &World, known: &Reference, id: &str) -> Result<(), Broken> {
    if known.forgotten.contains(id) {
        return Ok(());
    }
    let runs = shop::running(world, known.shape, id).into_iter().flatten().next();
    let row: Option<DeploymentRow> = world.load(id);
    let asked = row.as_ref().is_some_and(|row| row.removal.is_some() && row.waiting_for.is_some());
    if runs.is_some() && !asked {
        return Err(format!(
            "{id} left the fleet and runs, and nobody is asked: {}",
            row.map(|row| told(world, &row)).unwrap_or_default()
        ));
    }
    let guarded = id.contains("production") && shop::approvers(known.shape.gates).is_some();
    if runs.is_some() && !guarded && known.shape.gates == Gates::Nothing && row.is_none() {
        return Err(format!("{id} was forgotten and runs"));
    }
    Ok(())
}

/// It runs what the fleet says, or says why not.
fn stands(world: &World, known: &Reference, id: &str) -> Result<(), Broken> {
    let row = world.row(id);
    let told = || told(world, &row);
    let runs = shop::running(world, known.shape, id);
    let at = deployment(id);
    let hold: Option<Hold> = world.load(&Hold::key_of(&at.service, &at.environment));
    for rollout in world.list::<Rollout>(&format!("{id}/")).iter().filter(|r| !r.state.is_final()) {
        if !rollout.state.is_waiting() || row.waiting_for.is_none() {
            return Err(format!("rollout {} of {id} never ends: {}", rollout.number, told()));
        }
    }
    // What left a place and is wanted there again is not removed: the next rollout takes its place.
    let waits = |debt: &Debt| debt.owes == Owed::Removal && row.desired != row.running;
    if !row.debts.iter().all(waits) {
        return Err(format!("{id}: {} never did what it has to: {}", row.debts[0].place, told()));
    }
    if row.unclear.is_some() || row.mend.is_some() {
        return Err(format!("{id} is not settled: {}", told()));
    }
    if runs.iter().any(|runs| *runs != row.running) && row.waiting_for.is_none() {
        return Err(format!("{id} is said to run another release than it does, {runs:?}: {}", told()));
    }
    if row.desired == row.running {
        let head = version_at_head(world, id);
        let hash = row.running.ok_or_else(|| format!("{id} runs nothing: {}", told()))?;
        let tags = world.tags_of(id, &hash);
        if tags != head {
            return Err(format!("{id} runs {tags}, and the fleet says {head}: {}", told()));
        }
        return match row.health {
            Health::Healthy => Ok(()),
            _ if row.waiting_for.is_some() => Ok(()),
            health => Err(format!("{id} is {health:?} for no reason: {}", told())),
        };
    }
    let held = row.desired.is_some_and(|desired| hold.as_ref().is_some_and(|h| h.holds(&at, &desired)));
    let waits = matches!(row.phase, Some(State::AwaitingApproval | State::Stalled | State::Queued));
    let why = row.waiting_for.is_some() || row.reason.is_some();
    if !why || !(held || waits) {
        return Err(format!("{id} does not run what the fleet says, and nothing says why: {}", told()));
    }
    Ok(())
}

/// The deployments of a service in an environment run the same version, or one of them says why not.
fn together(world: &World, known: &Reference, svc: Svc, env: Env) -> Result<(), Broken> {
    let ids = shop::deployments(svc, env);
    let rows: Vec<DeploymentRow> = ids.iter().map(|id| world.row(id)).collect();
    let tags = |id: &&str| {
        let runs = shop::running(world, known.shape, id).into_iter().flatten();
        runs.map(|hash| world.tags_of(id, &hash)).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = ids.iter().flat_map(tags).collect();
    all.sort();
    all.dedup();
    if all.len() > 1 && rows.iter().all(|row| row.waiting_for.is_none()) {
        let told: Vec<String> = rows.iter().map(|row| told(world, row)).collect();
        return Err(format!("{} {} runs {all:?}, and nothing waits: {told:?}", svc.name(), env.name()));
    }
    Ok(())
}

/// The tag that stands in the fleet for a deployment.
fn version_at_head(world: &World, id: &str) -> String {
    let at = deployment(id);
    let svc = if at.service.as_str() == "shop" { Svc::Shop } else { Svc::App };
    let env = if at.environment.as_str() == "stage" { Env::Stage } else { Env::Production };
    let files = shop::pins(svc, env, "");
    let file = files.iter().find(|(path, _)| path.contains(at.target.as_str())).expect("a file pins it");
    tag_in(&world.head(&file.0), &format!("r.test/{}:", svc.repository()))
}

/// What stands in the fleet is the newest that nothing holds back; in production with `from`, what stage runs.
fn selected(world: &World, known: &Reference, svc: Svc, env: Env) -> Result<(), Broken> {
    let at = deployment(shop::deployments(svc, env)[0]);
    let upstream = env == Env::Production && shop::has_from(known.shape.gates);
    let asks = env == Env::Production && shop::approvers(known.shape.gates).is_some();
    let hold: Option<Hold> = world.load(&Hold::key_of(&at.service, &at.environment));
    let asked = !world.questions(svc.name(), env.name()).is_empty();
    let stands = version_at_head(world, &at.to_string());
    let digest = Digest::of(format!("{}:{stands}", svc.repository()).as_bytes());
    let of = |digest| (svc.name().to_owned(), env.name().to_owned(), digest);
    // Where what still runs of one of them is in quarantine as well, the fleet is left as it is.
    let way_back = |id: &&str| {
        let runs = shop::running(world, known.shape, id).into_iter().flatten().next();
        let tag = runs.map(|hash| world.tags_of(id, &hash)).unwrap_or_default();
        !known.quarantined.contains(&of(Digest::of(format!("{}:{tag}", svc.repository()).as_bytes())))
    };
    // A person may go back to what failed there, with other files.
    let by_person = hold.as_ref().is_some_and(|hold| hold.reason == HoldReason::RolledBackByCommand);
    let failed = known.failed.contains(&of(digest)) && !by_person;
    if failed && shop::deployments(svc, env).iter().all(way_back) {
        return Err(format!("{} {} still stands at {stands}, which failed there", svc.name(), env.name()));
    }
    if !by_person {
        shop::deployments(svc, env).iter().try_for_each(|id| went_back(world, known, id))?;
    }
    if hold.is_some() || asked {
        return Ok(());
    }
    let is_free = |tag: &str| {
        let digest = Digest::of(format!("{}:{tag}", svc.repository()).as_bytes());
        let of = |env: &str| (svc.name().to_owned(), env.to_owned(), digest);
        let upstream = upstream && known.quarantined.contains(&of("stage"));
        !upstream && !known.quarantined.contains(&of(env.name()))
    };
    let wanted = if upstream {
        let stage = shop::deployments(svc, Env::Stage)[0];
        if known.is_removed(svc, Env::Stage) {
            return Ok(());
        }
        let row = world.row(stage);
        if row.health != Health::Healthy || row.running != row.desired {
            return Ok(());
        }
        let tag = version_at_head(world, stage);
        // What a person pinned stands until something newer is healthy upstream.
        if !is_free(&tag) || known.by_hand.get(&(svc, env)) == Some(&stands) {
            return Ok(());
        }
        tag
    } else {
        let newest = known.newest_first(svc).find(|tag| is_free(tag));
        newest.cloned().unwrap_or_else(|| stands.clone())
    };
    if stands != wanted && !(asks && is_rejected(world, svc, env)) {
        return Err(format!("{} {} stands at {stands}, and {wanted} is wanted", svc.name(), env.name()));
    }
    Ok(())
}

/// What failed in one deployment runs in no other one that can go back, and nobody is asked for that.
fn went_back(world: &World, known: &Reference, id: &str) -> Result<(), Broken> {
    let at = deployment(id);
    let of = |digest: Digest| (at.service.to_string(), at.environment.to_string(), digest);
    let row = world.row(id);
    let Some(running) = row.running else { return Ok(()) };
    let failed = digests(world, &at, &running).into_iter().find(|digest| known.failed.contains(&of(*digest)));
    let Some(failed) = failed else { return Ok(()) };
    let releases: Vec<Release> = world.list(&format!("{id}/"));
    let is_back = |release: &&Release| {
        let free = |digest: &Digest| !known.quarantined.contains(&of(*digest));
        release.healthy_at_ms.is_some() && digests(world, &at, &release.hash).iter().all(free)
    };
    match releases.iter().find(is_back) {
        Some(back) => Err(format!(
            "{id} runs {}, which failed there, and {} was healthy: {}",
            failed.short(),
            back.hash.short(),
            told(world, &row)
        )),
        None => Ok(()),
    }
}

/// Somebody said no there.
fn is_rejected(world: &World, svc: Svc, env: Env) -> bool {
    world.told(|event| {
        matches!(event, Event::Voted { service, environment, approve: false, .. }
            if service.as_str() == svc.name() && environment.as_str() == env.name())
    }) > 0
}

/// A deployment for people.
fn told(world: &World, row: &DeploymentRow) -> String {
    let at = &row.id;
    let short = |hash: &dhow_core::fleet::DesiredHash| {
        format!("{} ({})", hash.short(), world.tags_of(&at.to_string(), hash))
    };
    let hold: Option<Hold> = world.load(&Hold::key_of(&at.service, &at.environment));
    let hold = hold.map(|hold| {
        let hashes: Vec<String> = hold.hashes.get(at).into_iter().flatten().map(short).collect();
        let rejected: Vec<String> = hold.rejected.get(at).into_iter().flatten().map(short).collect();
        let up_to: Vec<String> = hold.up_to.values().map(|pin| pin.reference().to_string()).collect();
        format!(
            "{:?} {:?}, hashes {hashes:?}, rejected {rejected:?}, up to {up_to:?}, files {}",
            hold.reason, hold.message, hold.files
        )
    });
    format!(
        "\n  desired {:?}\n  running {:?}\n  healthy release {:?}\n  phase {:?}, health {:?}, adopted {}\n  waiting for {:?}\n  \
         reason {:?}\n  removal {:?}, unclear {:?}, mend {:?}, stop {:?}\n  hold {hold:?}\n  rollouts {:?}",
        row.desired.as_ref().map(short),
        row.running.as_ref().map(short),
        row.healthy_release.as_ref().map(short),
        row.phase,
        row.health,
        row.adopted,
        row.waiting_for,
        row.reason,
        row.removal,
        row.unclear,
        row.mend,
        row.stop,
        world.runs(&at.to_string()),
    )
}

/// An event for people.
fn kind(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default().chars().take(300).collect()
}
