//! Killed at any instant, Dhow starts again, resumes, and ends where it would have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dhow_core::noun::Digest;
use dhow_core::rollout::{CommitAttempt, Hold, Quarantined, UpdateRow};

use crate::support::fleet::{page, root, service, site, site_path};
use crate::support::{Cut, World, actor, deployment, name, place};

const STAGE: &str = "shop/static_file/stage";
const PRODUCTION: &str = "shop/static_file/production";

/// How a voyage ended, by what is looked at.
type End = BTreeMap<String, String>;

/// Bob says yes to everything that is asked about production, and asks again where Dhow died before it answered.
fn agree(world: &mut World) {
    for _ in 0..4 {
        let questions = world.questions("shop", "production");
        let Some(question) = questions.into_iter().next() else { return };
        let (bob, shop, production) = (actor("bob"), name("shop"), place("production"));
        let answer =
            world.try_ask(async |engine| engine.approve(&bob, &shop, &production, Some(&question.id)).await);
        if let Some(Err(error)) = answer {
            panic!("bob's word was refused: {error}");
        }
        world.settle();
    }
}

/// Alice says yes to her own change, which must not count.
fn agree_as_author(world: &mut World) {
    let (alice, shop, production) = (actor("alice"), name("shop"), place("production"));
    let answer = world.try_ask(async |engine| engine.approve(&alice, &shop, &production, None).await);
    assert!(!matches!(answer, Some(Ok(_))), "it was forgotten that alice is the author");
    world.settle();
}

/// Alice goes back to 1.0.0 on stage, and asks again where Dhow died before it answered and did not do it.
fn go_back(world: &mut World) {
    let (alice, shop, stage) = (actor("alice"), name("shop"), place("stage"));
    let to = dhow_engine::command::RollbackTo::Version("1.0.0".into());
    for _ in 0..2 {
        if world.running(STAGE) == "1.0.0" {
            break;
        }
        let _ = world.try_ask(async |engine| engine.rollback(&alice, &shop, &stage, &to).await);
        world.settle();
    }
}

/// A version comes, is rolled out, approved and promoted; a person changes a file; one version fails on stage and one in
/// production; and a person goes back.
fn voyage(cut: Option<Cut>) -> World {
    let files = [
        root("{ from: stage, approvals: { needed: 1, from: [alice, bob] } }"),
        service("shop", "{ semver: '>=0' }"),
        site("shop", "stage", "1.0.0"),
        site("shop", "production", "1.0.0"),
        page("shop", "production", "one"),
    ];
    let mut world = World::new(files);
    // Much less than any pass: what is to come must come by itself, or by the start after a death.
    world.patience = Duration::from_secs(20);
    if let Some(cut) = cut {
        world.store.cut_at(cut);
    }
    world.publish("shop/web", "1.0.0");
    world.start();
    agree(&mut world);
    world.publish("shop/web", "1.1.0");
    world.settle();
    agree(&mut world);
    world.push_by("alice", [page("shop", "production", "two")]);
    world.settle();
    agree_as_author(&mut world);
    agree(&mut world);
    world.publish_broken("shop/web", "1.2.0");
    world.settle();
    let fails_late = Digest::of(b"shop/web:1.3.0");
    world.dock(PRODUCTION).break_version(Some(deployment(PRODUCTION)), fails_late);
    world.publish("shop/web", "1.3.0");
    world.settle();
    agree(&mut world);
    go_back(&mut world);
    world.settle();
    world
}

fn end(world: &World) -> End {
    let mut end = End::new();
    let mut see = |what: String, value: String| {
        end.insert(what, value);
    };
    for environment in ["stage", "production"] {
        let id = &format!("shop/static_file/{environment}");
        see(format!("{environment}: file"), world.head(&site_path("shop", environment)));
        see(format!("{environment}: page"), world.head(&page("shop", environment, "").0));
        see(format!("{environment}: runs"), world.running(id));
        let row = world.row(id);
        see(format!("{environment}: state"), format!("{} {:?}", world.phase(id), row.health));
        see(format!("{environment}: as the fleet says"), (row.running == row.desired).to_string());
        see(format!("{environment}: waits"), world.waits(id));
        see(format!("{environment}: rollouts"), format!("{:#?}", world.runs(id)));
        see(format!("{environment}: went live"), format!("{:?}", world.live(id)));
        see(format!("{environment}: asked"), world.questions("shop", environment).len().to_string());
    }
    see("own commits".into(), format!("{:#?}", world.own_commits()));
    see("updates".into(), world.list::<UpdateRow>("").len().to_string());
    let quarantined = world.list::<Quarantined>("");
    let quarantined = quarantined.iter().map(|q| format!("{} {}", q.environment, q.pin.reference()));
    see("quarantine".into(), format!("{:#?}", quarantined.collect::<Vec<_>>()));
    let holds = world.list::<Hold>("");
    let holds = holds.iter().map(|h| format!("{} {:?} {:?}", h.environment, h.hashes, h.up_to.keys()));
    see("holds".into(), format!("{:#?}", holds.collect::<Vec<_>>()));
    let open = world.list::<CommitAttempt>("commit/").into_iter().filter(|a| !a.done).count();
    see("commits of unknown end".into(), open.to_string());
    end
}

#[test]
fn the_undisturbed_voyage_ends_as_it_should() {
    let world = voyage(None);
    assert_eq!(world.pinned("shop", "stage"), "1.0.0");
    assert_eq!(world.pinned("shop", "production"), "1.1.0");
    assert_eq!(world.live(STAGE), ["1.0.0", "1.1.0", "1.3.0", "1.0.0"]);
    assert_eq!(world.live(PRODUCTION), ["1.0.0", "1.1.0", "1.1.0"]);
    assert_eq!(
        world.runs(PRODUCTION),
        ["1.0.0 succeeded", "1.1.0 succeeded", "1.1.0 succeeded", "1.3.0 rolled_back"]
    );
    assert_eq!(world.own_commits().len(), 8, "{:#?}", world.own_commits());
}

/// The batches that are died at: the first that says a thing, of all that say the same. With the variable
/// `DHOW_EVERY_DEATH` it is every one, which takes minutes.
pub fn deaths(batches: &[String]) -> Vec<usize> {
    let every = std::env::var_os("DHOW_EVERY_DEATH").is_some();
    let mut said = BTreeSet::new();
    let numbered = (1..).zip(batches);
    numbered.filter(|(_, says)| said.insert(says.as_str()) || every).map(|(at, _)| at).collect()
}

/// Runs the voyage once for each death.
fn die_at_each(cut: fn(usize) -> Cut) {
    let undisturbed = voyage(None);
    let expected = end(&undisturbed);
    let deaths = deaths(&undisturbed.store.batches());
    drop(undisturbed);
    let next = AtomicUsize::new(0);
    let failures: Mutex<BTreeMap<usize, Vec<String>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(at) = deaths.get(next.fetch_add(1, Ordering::SeqCst)).copied() else { return };
                    let got = std::panic::catch_unwind(|| end(&voyage(Some(cut(at)))));
                    let wrong = match got {
                        Ok(got) => differences(&expected, &got),
                        Err(_) => vec!["it panicked".into()],
                    };
                    if !wrong.is_empty() {
                        failures.lock().unwrap().insert(at, wrong);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let words = failures.iter().map(|(at, wrong)| format!("{:?}:\n  {}", cut(*at), wrong.join("\n  ")));
    assert!(
        failures.is_empty(),
        "{} of {} deaths changed the end\n{}",
        failures.len(),
        deaths.len(),
        words.collect::<Vec<_>>().join("\n")
    );
}

fn differences(expected: &End, got: &End) -> Vec<String> {
    let differs = expected.iter().filter(|(what, value)| got.get(*what) != Some(*value));
    differs.map(|(what, value)| format!("{what}\n  is   {}\n  not  {value}", got[what])).collect()
}

#[test]
fn dying_before_any_batch_is_stored_changes_nothing_in_the_end() {
    die_at_each(Cut::Before);
}

#[test]
fn dying_after_any_batch_is_stored_changes_nothing_in_the_end() {
    die_at_each(Cut::After);
}
