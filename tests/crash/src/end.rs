//! How a voyage ended, by what is looked at. Two voyages that end alike are equal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use crate::world::World;

/// What is looked at, and what was seen there. Nothing in it differs from run to run: no times, commits, or numbers.
pub type End = BTreeMap<String, String>;

/// How it stands now.
///
/// # Errors
/// Nobody answers, or the repository cannot be read.
pub async fn look(world: &World) -> Result<End> {
    let mut end = End::new();
    end.insert("the fleet's files".into(), world.repository.ask(&["ls-tree", "-r", "main"]).await?);
    let log = world.repository.ask(&["log", "--format=%B%x00", "main"]).await?;
    end.insert("what commits say".into(), commits(&log));
    let branches = world.repository.ask(&["for-each-ref", "--format=%(refname)"]).await?;
    end.insert("branches".into(), branches);
    let status = world.get("status").await?;
    for row in status["deployments"].as_array().into_iter().flatten() {
        let (name, shown) = deployment(row);
        if row["type"] == "static_file" {
            let host = format!("{}.{}.localhost", text(&row["service"]), text(&row["environment"]));
            end.insert(format!("page {name}"), world.page(&host).await.unwrap_or_default());
        }
        end.insert(format!("status {name}"), shown);
    }
    let questions = status["proposals"].as_array().into_iter().flatten();
    let questions = questions.map(|p| format!("{} {}", text(&p["service"]), text(&p["environment"])));
    end.insert("open questions".into(), lines(questions));
    let quarantine = world.get("quarantine").await?;
    let quarantine = quarantine["quarantined"].as_array().into_iter().flatten();
    let quarantined = quarantine.map(|q| format!("{} {}", text(&q["environment"]), text(&q["reference"])));
    end.insert("in quarantine".into(), lines(quarantined));
    told(&world.history().await?, &mut end);
    Ok(end)
}

/// What differs from what was expected, for people.
pub fn differences(expected: &End, got: &End) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(got.keys()).collect();
    let nothing = String::from("(not there)");
    let differs = keys.into_iter().filter(|key| expected.get(*key) != got.get(*key));
    differs
        .map(|key| {
            let (was, is) = (expected.get(key).unwrap_or(&nothing), got.get(key).unwrap_or(&nothing));
            let only = |of: &str, other: &str| {
                let mut rest: Vec<&str> = other.lines().collect();
                let mut text = String::new();
                for line in of.lines() {
                    match rest.iter().position(|l| *l == line) {
                        Some(at) => drop(rest.remove(at)),
                        None => drop(write!(text, "\n    {line}")),
                    }
                }
                text
            };
            format!("{key}:\n  too much:{}\n  missing:{}", only(is, was), only(was, is))
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lines(all: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.join("\n")
}

/// A row of `status`: its name, and what it shows.
pub(crate) fn deployment(row: &Value) -> (String, String) {
    let name = format!("{}/{}/{}", text(&row["service"]), text(&row["type"]), text(&row["environment"]));
    let pins = |list: &Value| {
        lines(
            list.as_array()
                .into_iter()
                .flatten()
                .map(|p| format!("{} {}", text(&p["tag"]), text(&p["digest"]))),
        )
    };
    let shown = format!(
        "{} {}\nwaits for {}\ndesired {}\nrunning {}",
        text(&row["phase"]),
        text(&row["health"]),
        text(&row["waiting_for"]),
        pins(&row["desired"]),
        pins(&row["running"])
    );
    (name, shown)
}

/// What each of our commits says that it did. How many updates share a commit is a matter of time.
fn commits(log: &str) -> String {
    let mut all = Vec::new();
    for message in log.split('\0').map(str::trim).filter(|message| !message.is_empty()) {
        let ours = message.contains("Dhow-Version: ") || message.contains("Dhow-Why: ");
        let mut said: Vec<&str> = message.lines().filter_map(|line| line.strip_prefix("- ")).collect();
        if !ours || said.is_empty() {
            said = message.lines().take(1).collect();
        }
        all.extend(said.into_iter().map(str::to_owned));
        all.extend(message.lines().filter(|line| line.starts_with("Dhow-Version: ")).map(str::to_owned));
    }
    lines(all.into_iter())
}

/// The facts of which each must be there once. How often something was tried, and what a step said, may differ.
fn told(events: &[Value], end: &mut End) {
    let mut rollouts: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut asked: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let field = |name: &str| text(&event[name]);
        let scope = || format!("{} {}", field("service"), field("environment"));
        let key = || (field("deployment"), event["rollout"].as_u64().unwrap_or_default());
        match event["kind"].as_str().unwrap_or_default() {
            "rollout_queued" => drop(rollouts.insert(key(), format!("{}:", field("hash")))),
            "rollout_moved" => {
                let moves = rollouts.entry(key()).or_default();
                let _ = write!(moves, " {}", field("to"));
            }
            "update_selected" => {
                let pins = event["pins"].as_object().into_iter().flatten();
                let pins = lines(pins.map(|(name, pin)| format!("{name} {}", text(&pin["digest"]))));
                seen.entry("updates").or_default().push(format!("{} {} {pins}", scope(), field("why")));
            }
            "proposal_opened" => drop(asked.insert(field("id"), format!("{}: {}", scope(), field("what")))),
            "proposal_closed" => {
                let asked = asked.entry(field("id")).or_default();
                let _ = write!(asked, " -> {}", field("outcome"));
            }
            "voted" => seen.entry("votes").or_default().push(format!("{} {}", scope(), field("person"))),
            "version_seen" => {
                seen.entry("versions").or_default().push(format!("{} {}", field("repository"), field("tag")));
            }
            "quarantined" | "unquarantined" => {
                let what = format!("{} {} {}", field("kind"), scope(), field("digest"));
                seen.entry("quarantines").or_default().push(what);
            }
            "held" => {
                // What a check was answered last is a matter of time.
                let reason = field("reason").split(" failed ").next().unwrap_or_default().to_owned();
                seen.entry("holds").or_default().push(format!("{} {reason}", scope()));
            }
            "removed" | "adopted" | "stalled" => {
                seen.entry("deployments").or_default().push(format!(
                    "{} {}",
                    field("kind"),
                    field("deployment")
                ));
            }
            _ => {}
        }
    }
    let rollouts = rollouts.into_iter().map(|((deployment, _), moves)| format!("{deployment} {moves}"));
    end.insert("rollouts".into(), lines(rollouts));
    end.insert("questions".into(), lines(asked.into_values()));
    for (what, all) in seen {
        end.insert(format!("told of {what}"), lines(all.into_iter()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_twice_or_not_at_all_is_told() {
        let expected = End::from([("rollouts".into(), "a\nb".into())]);
        let got = End::from([("rollouts".into(), "a\na".into())]);
        let told = differences(&expected, &got);
        assert_eq!(told, ["rollouts:\n  too much:\n    a\n  missing:\n    b"]);
        assert!(differences(&expected, &expected).is_empty());
    }

    #[test]
    fn a_commit_of_several_updates_says_what_as_many_commits_say() {
        let one = "shop stage: web 1 (promoted)\n\nDhow-Version: s a r:1\n\0blog stage: web 2 (promoted)\n\nDhow-Version: b a r:2\n\0";
        let both = "update 2 services\n\n- shop stage: web 1 (promoted)\n- blog stage: web 2 (promoted)\n\nDhow-Version: s a r:1\nDhow-Version: b a r:2\n\0";
        assert_eq!(commits(one), commits(both));
    }
}
