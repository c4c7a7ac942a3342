//! Doing what happens, and telling the model what it may know of it.

use std::time::Duration;

use dhow_core::noun::{Digest, ImageReference};
use dhow_core::port::FileChange;
use dhow_core::rollout::Proposal;
use dhow_engine::command::RollbackTo;
use dhow_engine::{Engine, EngineError};
use dhow_testkit::PushFault;

use crate::support::{BROKEN, Cut, World, actor, deployment, name, place};

use super::action::{Action, Env, Push, Svc, Who, Works};
use super::reference::Reference;
use super::shop;

/// Why a person quarantines.
pub const LEAKS: &str = "it leaks";

/// Does it. Commands that are refused are part of the game.
pub fn act(world: &mut World, known: &mut Reference, action: &Action) {
    match *action {
        Action::Publish(svc, works) => publish(world, known, svc, works),
        Action::Pin(who, svc, env, back) => {
            let tag = known.published(svc, back);
            pin(world, known, (who, svc, env), &tag);
        }
        Action::PinNightly(who, svc, env) => {
            let tag = known.next_nightly();
            world.content_of(svc.repository(), &tag);
            pin(world, known, (who, svc, env), &tag);
        }
        Action::OtherFile(who, svc, env, broken) if !known.is_removed(svc, env) => {
            let text = known.next_text();
            let text = if broken { format!("{text} {BROKEN}") } else { text };
            known.will_push(world, svc, env);
            world.push_by(who, [shop::other_file(svc, env, &text)]);
            known.pushed(world, who, (svc, env), &shop::deployments(svc, env)[..1]);
        }
        Action::Remove(who, svc, env) => remove(world, known, (who, svc, env)),
        Action::Return(who, svc, env) => {
            if known.is_removed(svc, env) {
                let tag = known.published(svc, 0);
                known.returned(svc, env);
                let settings = shop::settings(known.shape, svc, env);
                world.push_by(who, settings.into_iter().chain([shop::other_file(svc, env, "one")]));
                pin(world, known, (who, svc, env), &tag);
            }
        }
        Action::Remote(up) => world.fleet.set_reachable(up),
        Action::Registry(up) => registry(world, up),
        Action::NextPush(push) => world.fleet.fail_next_push(fault(push, known)),
        Action::Slow(svc, env) => each(svc, env, |id| world.dock(id).slow_down(deployment(id))),
        Action::LetGo => shop::all().for_each(|id| world.dock(id).let_go(&deployment(id))),
        Action::FrontDoor(svc, env) => each(svc, env, |id| world.dock(id).fail_verifying(deployment(id))),
        Action::Mended => shop::all().for_each(|id| world.dock(id).target.heal()),
        Action::Stop(svc, env) => each(svc, env, |id| {
            known.stopped(id);
            for place in shop::places(known.shape, id) {
                world.dock(id).target.stop_by_hand(&deployment(id), &place);
            }
        }),
        Action::DieSoon(batches, before) => {
            let at = world.store.batches().len() + batches;
            world.store.cut_at(if before { Cut::Before(at) } else { Cut::After(at) });
        }
        Action::Lose(number, silent) => {
            shop::all().for_each(|id| world.dock(id).lose(shop::server(number), silent));
        }
        Action::Find => shop::all().for_each(|id| world.dock(id).find_all()),
        Action::Restart => world.restart(),
        Action::LoseDatabase => {
            known.database_is_lost(world);
            world.lose_database();
        }
        Action::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
        _ => command(world, known, action),
    }
}

/// A person asks something of Dhow.
fn command(world: &mut World, known: &mut Reference, action: &Action) {
    match *action {
        Action::Approve(who, svc, env, which) => approve(world, known, (who, svc, env), which),
        Action::Reject(who, svc, env, which) => {
            let Some(asked) = question(world, svc, env, which) else { return };
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.reject(&who, &service, &at, Some(&asked.id), None).await.map(drop));
        }
        Action::Promote(who, svc) => {
            let (who, service, at) = parts(who, svc, Env::Production);
            say(world, async |e| e.promote(&who, &service, &at).await.map(drop));
        }
        Action::RollBack(who, svc, env, back) => {
            let to =
                back.map_or(RollbackTo::Previous, |back| RollbackTo::Version(known.published(svc, back)));
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.rollback(&who, &service, &at, &to).await.map(drop));
        }
        Action::Resume(who, svc, env) => {
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.resume(&who, &service, &at).await.map(drop));
        }
        Action::Sync(who, svc, env) => {
            known.synced(svc, env);
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.sync(&who, &service, &at).await.map(drop));
        }
        Action::Quarantine(who, svc, env, back) => {
            let reference = reference(svc, &known.published(svc, back));
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.quarantine_add(&who, &service, &at, &reference, LEAKS).await.map(drop));
        }
        Action::EndQuarantine(who, svc, env, back) => {
            let reference = reference(svc, &known.published(svc, back));
            let (who, service, at) = parts(who, svc, env);
            say(world, async |e| e.quarantine_remove(&who, &service, &at, &reference).await.map(drop));
        }
        _ => {}
    }
}

type At = (dhow_engine::command::Actor, dhow_core::noun::ServiceName, dhow_core::noun::EnvironmentName);

fn parts(who: Who, svc: Svc, env: Env) -> At {
    (actor(who), name(svc.name()), place(env.name()))
}

/// True: it was done, or Dhow died before it answered and may have done it.
fn say(world: &mut World, what: impl AsyncFnOnce(&Engine) -> Result<(), EngineError>) -> bool {
    !matches!(world.try_ask(what), Some(Err(_)))
}

fn approve(world: &mut World, known: &mut Reference, (who, svc, env): (Who, Svc, Env), which: usize) {
    let Some(asked) = question(world, svc, env, which) else { return };
    let (person, service, at) = parts(who, svc, env);
    // What somebody says yes to is what the question says at that moment.
    known.says_yes(who, &asked);
    if !say(world, async |e| e.approve(&person, &service, &at, Some(&asked.id)).await.map(drop)) {
        known.was_refused(who, &asked);
    }
}

fn question(world: &World, svc: Svc, env: Env, which: usize) -> Option<Proposal> {
    let mut open = world.questions(svc.name(), env.name());
    if open.is_empty() { None } else { Some(open.swap_remove(which % open.len())) }
}

fn reference(svc: Svc, tag: &str) -> ImageReference {
    let digest = Digest::of(format!("{}:{tag}", svc.repository()).as_bytes());
    format!("r.test/{}:{tag}@{digest}", svc.repository()).parse().unwrap()
}

fn publish(world: &mut World, known: &mut Reference, svc: Svc, works: Works) {
    let tag = known.next_version(svc);
    let digest = Digest::of(format!("{}:{tag}", svc.repository()).as_bytes());
    let production = shop::deployments(svc, Env::Production);
    let fails: Vec<&str> = match works {
        Works::Everywhere => Vec::new(),
        Works::Nowhere => Env::ALL.iter().flat_map(|env| shop::deployments(svc, *env)).copied().collect(),
        Works::NotInProduction => production.to_vec(),
        Works::NotInOne => production.last().into_iter().copied().collect(),
    };
    for id in fails {
        world.dock(id).break_version(Some(deployment(id)), digest);
        known.breaks(id, digest);
    }
    world.publish(svc.repository(), &tag);
}

fn pin(world: &mut World, known: &mut Reference, (who, svc, env): (Who, Svc, Env), tag: &str) {
    if !known.is_removed(svc, env) {
        let files = shop::pins(svc, env, tag);
        // Whoever changes nothing is no author.
        let changes = files.iter().any(|(path, text)| world.head(path) != *text);
        known.will_push(world, svc, env);
        world.push_by(who, files);
        if changes {
            known.pushed(world, who, (svc, env), shop::deployments(svc, env));
        }
        known.pinned_by_hand(svc, env, tag);
    }
}

fn remove(world: &mut World, known: &mut Reference, (who, svc, env): (Who, Svc, Env)) {
    let mut files = shop::pins(svc, env, "1.0.0");
    files.push(shop::other_file(svc, env, ""));
    files.extend(shop::settings(known.shape, svc, env));
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    known.will_push(world, svc, env);
    known.removed(world, svc, env);
    world.remove_by(who, &paths);
}

fn registry(world: &World, up: bool) {
    let down = dhow_core::port::SourceError::Unavailable { message: "it is down".into(), retry_after: None };
    world.source.set_down((!up).then_some(down));
}

fn fault(push: Push, known: &mut Reference) -> PushFault {
    match push {
        Push::Moved => PushFault::Moved,
        Push::Unreachable => PushFault::Unreachable,
        Push::ArrivesUnanswered => PushFault::ArrivesUnanswered,
        Push::Overtaken => {
            let content = known.next_text().into_bytes();
            let change = FileChange { path: "README.md".into(), content: Some(content) };
            PushFault::Overtaken(vec![change], "dave".into())
        }
    }
}

/// Everything works again.
pub fn mend_all(world: &mut World) {
    world.fleet.set_reachable(true);
    registry(world, true);
    world.store.cut_at(Cut::After(usize::MAX));
    for id in shop::all() {
        world.dock(id).let_go(&deployment(id));
        world.dock(id).target.heal();
        world.dock(id).find_all();
    }
}

fn each(svc: Svc, env: Env, mut what: impl FnMut(&str)) {
    shop::deployments(svc, env).iter().for_each(|id| what(id));
}
