//! What must hold of every event log, however it came about; and what it says, replayed, is what is shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::world::World;

/// Everything that is wrong with what a world tells of itself.
///
/// # Errors
/// Nobody answers, or the repository cannot be read.
pub async fn problems(world: &World) -> Result<Vec<String>> {
    let events = world.history().await?;
    let status = world.get("status").await?;
    let mut found = log(&events);
    found.extend(replay(&events, &status));
    found.extend(commits(world, &events).await?);
    found.extend(world.keeper.problems());
    Ok(found)
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().map_or_else(|| event[field].to_string(), str::to_owned)
}

/// An effect: what it is, and how often it was started and done.
#[derive(Default)]
struct Effect {
    started: usize,
    done: usize,
    failed: usize,
}

/// Each effect is started before it is done, and done once; each rollout goes its way once; nobody votes twice.
fn log(events: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut effects: BTreeMap<String, Effect> = BTreeMap::new();
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    let mut said: BTreeSet<String> = BTreeSet::new();
    let mut last = 0;
    for event in events {
        let seq = event["seq"].as_u64().unwrap_or_default();
        if seq <= last {
            found.push(format!("the number {seq} comes after {last}"));
        }
        last = seq;
        let kind = text(event, "kind");
        let rollout = format!("{} {}", text(event, "deployment"), text(event, "rollout"));
        let effect = match kind.as_str() {
            "step_started" | "step_done" | "step_failed" => {
                Some(format!("step {rollout} {} undo {}", text(event, "key"), text(event, "undo")))
            }
            "commit_started" | "commit_done" | "commit_failed" => {
                Some(format!("commit {}", text(event, "commit")))
            }
            _ => None,
        };
        if let Some(name) = effect {
            let effect = effects.entry(name.clone()).or_default();
            match kind.rsplit('_').next() {
                Some("started") => effect.started += 1,
                Some("done") => effect.done += 1,
                _ => effect.failed += 1,
            }
            if effect.started == 0 {
                found.push(format!("{name}: {kind} without its started event"));
            }
            if effect.done > 1 {
                found.push(format!("{name}: done {} times", effect.done));
            }
        }
        match kind.as_str() {
            "rollout_queued" if states.insert(rollout.clone(), "queued".into()).is_some() => {
                found.push(format!("rollout {rollout} was made twice"));
            }
            "rollout_moved" => {
                let before = states.insert(rollout.clone(), text(event, "to"));
                if before.as_deref() != event["from"].as_str() {
                    found.push(format!("rollout {rollout} moved from {}, but was {before:?}", event["from"]));
                }
            }
            "voted" | "proposal_opened" | "proposal_closed" => {
                let once = format!("{kind} {} {}", text(event, "id"), text(event, "person"));
                if !said.insert(once.clone()) {
                    found.push(format!("twice: {once}"));
                }
            }
            _ => {}
        }
    }
    let open = effects.iter().filter(|(_, effect)| effect.done + effect.failed == 0);
    found.extend(open.map(|(name, _)| format!("{name}: started, and never came to an end")));
    found
}

/// The last rollout, the open questions and the quarantine, as the log alone tells them.
fn replay(events: &[Value], status: &Value) -> Vec<String> {
    let mut phases: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    let mut open: BTreeSet<String> = BTreeSet::new();
    for event in events {
        let number = event["rollout"].as_u64().unwrap_or_default();
        let to = match event["kind"].as_str().unwrap_or_default() {
            "rollout_queued" => "queued".to_owned(),
            "rollout_moved" => text(event, "to"),
            "proposal_opened" => {
                open.insert(text(event, "id"));
                continue;
            }
            "proposal_closed" => {
                open.remove(&text(event, "id"));
                continue;
            }
            _ => continue,
        };
        phases.entry(text(event, "deployment")).or_default().insert(number, to);
    }
    let mut found = Vec::new();
    for row in status["deployments"].as_array().into_iter().flatten() {
        let name = format!("{}/{}/{}", text(row, "service"), text(row, "type"), text(row, "environment"));
        let phase = text(row, "phase");
        // One that waited and was not needed any more is no state of its deployment.
        let last = phases.get(&name).and_then(|all| all.iter().rev().find(|(_, to)| *to != "superseded"));
        if let Some((number, told)) = last.filter(|(_, told)| **told != phase) {
            found.push(format!("{name} shows {phase}; by the log its rollout {number} is {told}"));
        }
    }
    let shown: BTreeSet<String> =
        status["proposals"].as_array().into_iter().flatten().map(|p| text(p, "id")).collect();
    if shown != open {
        found.push(format!("open questions: {shown:?} are shown; by the log it is {open:?}"));
    }
    found
}

/// Every commit of ours on the branch was started and is done; every one that is done is on the branch.
async fn commits(world: &World, events: &[Value]) -> Result<Vec<String>> {
    let log = world.repository.ask(&["log", "--format=%H %x01%B%x00", "main"]).await?;
    let all: BTreeMap<&str, bool> = log
        .split('\0')
        .filter_map(|entry| entry.trim().split_once(" \u{1}"))
        .map(|(id, message)| (id, message.contains("Dhow-Why: ")))
        .collect();
    let told = |kind: &str| -> BTreeSet<&str> {
        events.iter().filter(|e| e["kind"] == kind).filter_map(|e| e["commit"].as_str()).collect()
    };
    let (done, started) = (told("commit_done"), told("commit_started"));
    let ours: BTreeSet<&str> = all.iter().filter(|(_, ours)| **ours).map(|(id, _)| *id).collect();
    let mut found = Vec::new();
    // A push that outlived its process may arrive after it was taken for lost; that it was is told.
    let lost = told("commit_failed");
    let untold = ours.difference(&done).filter(|id| !lost.contains(*id));
    found.extend(untold.map(|id| format!("commit {id} is on the branch, and not told as done")));
    found.extend(ours.difference(&started).map(|id| format!("commit {id} was pushed, and never started")));
    found.extend(
        done.difference(&ours).map(|id| format!("commit {id} is told as done, and not on the branch")),
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_effect_without_its_start_or_done_twice_is_told() {
        let step = |seq: u64, kind: &str| json!({ "seq": seq, "kind": kind, "deployment": "d", "rollout": 1, "key": "k", "undo": false });
        assert!(log(&[step(1, "step_started"), step(2, "step_done")]).is_empty());
        assert!(log(&[step(1, "step_done")])[0].contains("without its started event"));
        let twice = log(&[step(1, "step_started"), step(2, "step_done"), step(3, "step_done")]);
        assert!(twice[0].contains("done 2 times"), "{twice:?}");
        assert!(log(&[step(1, "step_started")])[0].contains("never came to an end"));
    }

    #[test]
    fn a_state_that_the_log_does_not_give_is_told() {
        let queued =
            json!({ "seq": 1, "kind": "rollout_queued", "deployment": "s/static_file/e", "rollout": 1 });
        let shows = |phase: &str| json!({ "deployments": [{ "service": "s", "type": "static_file", "environment": "e", "phase": phase }], "proposals": [] });
        assert!(replay(std::slice::from_ref(&queued), &shows("queued")).is_empty());
        assert_eq!(replay(&[queued], &shows("succeeded")).len(), 1);
    }
}
