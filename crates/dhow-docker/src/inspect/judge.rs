//! From facts to findings.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Finding, Standing, swarm};

/// Oldest API of the engine: Docker 20.10.
const OLDEST_API: (u32, u32) = (1, 41);
/// Newest API that an engine may ask for at least.
const NEWEST_API: (u32, u32) = (1, 53);
/// A disk with less is nearly full; with a tenth of it, full. KiB.
const LOW_DISK: u64 = 5 << 20;
/// Percent of a disk in use from which on it is nearly full.
const NEARLY_FULL: u64 = 90;
/// Less memory than this is little. KiB.
const LOW_MEMORY: u64 = 256 << 10;
/// Clocks that differ by more make times in logs and tokens wrong.
const SKEW: u64 = 5;

pub(super) type Facts = BTreeMap<String, Vec<String>>;

pub(super) fn first<'a>(facts: &'a Facts, key: &str) -> &'a str {
    facts.get(key).and_then(|values| values.first()).map_or("", String::as_str)
}

pub(super) fn all(facts: &Facts, asked: SystemTime, took: Duration) -> Vec<Finding> {
    let user = first(facts, "user");
    let mut found =
        vec![Finding::new("ssh", Standing::Ok, format!("{user} runs commands, {}", first(facts, "kernel")))];
    found.push(tools(facts));
    if let Some(problem) = facts.get("home").and_then(|problems| problems.first()) {
        let advice = "Dhow keeps its locks there: give the user a home that it may write";
        found.push(Finding::new(
            "home",
            Standing::Failed,
            format!("~/.dhow cannot be written: {problem}; {advice}"),
        ));
    } else {
        found.push(Finding::new("home", Standing::Ok, "~/.dhow can be written"));
    }
    found.push(socket(first(facts, "socket"), first(facts, "socket-at"), user));
    found.extend(docker(facts));
    found.extend(swarm::all(facts));
    found.push(disk(
        first(facts, "disk"),
        first(facts, "inodes"),
        "free space there: `docker system df` shows what Docker holds",
    ));
    found.push(memory(facts));
    found.push(load(facts));
    found.push(clock(first(facts, "time"), asked, took));
    found
}

fn tools(facts: &Facts) -> Finding {
    match facts.get("missing") {
        None => Finding::new("tools", Standing::Ok, "flock, setsid, tar and the rest are there"),
        Some(missing) => Finding::new(
            "tools",
            Standing::Failed,
            format!(
                "it lacks {}: install coreutils, util-linux, tar, grep and findutils there",
                missing.join(", ")
            ),
        ),
    }
}

fn socket(found: &str, at: &str, user: &str) -> Finding {
    let (standing, message) = match found {
        "ok" => (Standing::Ok, format!("{user} may use {at}")),
        "denied" => (
            Standing::Failed,
            format!("{user} may not use {at}: run `usermod -aG docker {user}` there, and log in again"),
        ),
        _ => (
            Standing::Failed,
            format!("there is no {at}: install Docker there, or start it with `systemctl start docker`"),
        ),
    };
    Finding::new("socket", standing, message)
}

fn docker(facts: &Facts) -> Vec<Finding> {
    if facts.contains_key("docker-cli") {
        let message = "the command docker is not there: install docker-ce-cli, or docker.io";
        return vec![Finding::new("docker", Standing::Failed, message)];
    }
    let said = first(facts, "docker");
    let words: Vec<&str> = said.split_whitespace().collect();
    let engine = match words[..] {
        [version, api, oldest] => match (number(api), number(oldest)) {
            (Some(api), _) if api < OLDEST_API => Finding::new(
                "docker",
                Standing::Failed,
                format!(
                    "Docker {version} speaks API {}.{}, which is too old: Dhow needs 1.41, Docker 20.10",
                    api.0, api.1
                ),
            ),
            (_, Some(oldest)) if oldest > NEWEST_API => Finding::new(
                "docker",
                Standing::Failed,
                format!(
                    "Docker {version} wants API {}.{} at least, which is too new for this dhow: update dhow",
                    oldest.0, oldest.1
                ),
            ),
            (Some(_), Some(_)) => {
                Finding::new("docker", Standing::Ok, format!("Docker {version}, API {api}"))
            }
            _ => engine_failed(said),
        },
        _ => engine_failed(said),
    };
    vec![engine, compose(first(facts, "compose"), facts.get("compose-old").is_some())]
}

fn engine_failed(said: &str) -> Finding {
    let advice = "see `systemctl status docker` there";
    Finding::new("docker", Standing::Failed, format!("the engine does not answer: {said}; {advice}"))
}

fn compose(said: &str, old: bool) -> Finding {
    let version = said.trim_start_matches('v');
    match number(version) {
        Some((major, _)) if major >= 2 => {
            Finding::new("compose", Standing::Ok, format!("docker compose {version}"))
        }
        Some(_) => Finding::new(
            "compose",
            Standing::Failed,
            format!(
                "docker compose {version} is too old: install the plugin docker-compose-plugin, v2 or newer"
            ),
        ),
        None => {
            let old = if old {
                "docker-compose v1 is there and is too old"
            } else {
                "docker compose v2 is not there"
            };
            Finding::new(
                "compose",
                Standing::Failed,
                format!("{old}: install the plugin docker-compose-plugin"),
            )
        }
    }
}

/// The first two numbers of a version.
fn number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `df -P`: filesystem, size, used, available, use, mount point.
pub(super) fn disk(blocks: &str, inodes: &str, advice: &str) -> Finding {
    let column = |text: &str, at: usize| text.split_whitespace().nth(at).map(str::to_owned);
    let free = column(blocks, 3).and_then(|free| free.parse::<u64>().ok());
    let (Some(free), Some(at)) = (free, column(blocks, 5)) else {
        return Finding::new(
            "disk",
            Standing::Warning,
            "how full the disk is cannot be told: `df -Pk` does not say it",
        );
    };
    let used =
        column(blocks, 4).and_then(|used| used.strip_suffix('%')?.parse::<u64>().ok()).unwrap_or_default();
    let gib = free as f64 / f64::from(1 << 20);
    if column(inodes, 4).as_deref() == Some("100%") {
        return Finding::new("disk", Standing::Failed, format!("{at} has no inode left: {advice}"));
    }
    match free {
        free if free < LOW_DISK / 10 => {
            Finding::new("disk", Standing::Failed, format!("{at} is full, {gib:.1} GiB free: {advice}"))
        }
        free if free < LOW_DISK || used >= NEARLY_FULL => {
            let message = format!("{at} has {gib:.1} GiB free, {used} % in use: {advice}");
            Finding::new("disk", Standing::Warning, message)
        }
        _ => Finding::new("disk", Standing::Ok, format!("{at} has {gib:.1} GiB free")),
    }
}

fn memory(facts: &Facts) -> Finding {
    let kib = |key: &str| first(facts, key).parse::<u64>().ok();
    let (Some(total), Some(free)) = (kib("MemTotal:"), kib("MemAvailable:")) else {
        return Finding::new(
            "memory",
            Standing::Warning,
            "how much memory is free cannot be told: /proc/meminfo does not say it",
        );
    };
    let message = format!("{} of {} MiB free", free >> 10, total >> 10);
    if free < LOW_MEMORY {
        return Finding::new(
            "memory",
            Standing::Warning,
            format!("{message}: new containers may be killed; stop something"),
        );
    }
    Finding::new("memory", Standing::Ok, message)
}

fn load(facts: &Facts) -> Finding {
    let processors = first(facts, "processors").parse::<f64>().unwrap_or(1.0).max(1.0);
    match first(facts, "load").parse::<f64>() {
        Ok(load) if load > 4.0 * processors => Finding::new(
            "load",
            Standing::Warning,
            format!("a load of {load} on {processors} processors: deploys will be slow; see `top` there"),
        ),
        Ok(load) => {
            Finding::new("load", Standing::Ok, format!("a load of {load} on {processors} processors"))
        }
        Err(_) => {
            Finding::new("load", Standing::Warning, "the load cannot be told: /proc/loadavg does not say it")
        }
    }
}

fn clock(theirs: &str, asked: SystemTime, took: Duration) -> Finding {
    let ours = asked.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let Ok(theirs) = theirs.parse::<u64>() else {
        return Finding::new(
            "clock",
            Standing::Warning,
            "the time there cannot be told: `date +%s` does not say it",
        );
    };
    // It said its time at some moment of the answer.
    let apart = if theirs < ours { ours - theirs } else { theirs.saturating_sub(ours + took.as_secs() + 1) };
    if apart > SKEW {
        let side = if theirs < ours { "behind" } else { "ahead" };
        let message =
            format!("its clock is {apart} s {side} ours: start a time service there, such as chrony");
        return Finding::new("clock", Standing::Warning, message);
    }
    Finding::new("clock", Standing::Ok, "its clock is right")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(said: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::new();
        for (key, value) in said {
            facts.entry((*key).to_owned()).or_default().push((*value).to_owned());
        }
        facts
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const GOOD: [(&str, &str); 12] = [
        ("user", "deploy"),
        ("socket", "ok"),
        ("docker", "20.10.24 1.41 1.12"),
        ("compose", "v2.40.3"),
        ("swarm", "active true"),
        ("ipvs", "loaded"),
        ("disk", "/dev/vda 100000000 1 90000000 2% /"),
        ("inodes", "/dev/vda 100 1 99 1% /"),
        ("MemTotal:", "8000000"),
        ("MemAvailable:", "4000000"),
        ("load", "0.5"),
        ("time", "1000"),
    ];

    #[test]
    fn a_server_that_has_all_has_no_finding() {
        let found = all(&facts(&GOOD), at(1000), Duration::ZERO);
        assert!(found.iter().all(|finding| finding.standing == Standing::Ok), "{found:?}");
    }

    #[test]
    fn compose_v1_beside_a_missing_v2_is_told() {
        let mut facts = facts(&GOOD);
        facts.insert("compose".into(), vec!["docker: 'compose' is not a docker command.".into()]);
        facts.insert("compose-old".into(), vec!["1.29.2".into()]);
        let found = all(&facts, at(1000), Duration::ZERO);
        let told = found.iter().find(|finding| finding.check == "compose").unwrap();
        assert!(told.standing == Standing::Failed && told.message.contains("v1 is there"), "{told:?}");
    }

    #[test]
    fn each_thing_that_is_missing_is_told_with_what_to_do() {
        for (key, value, check, text) in [
            ("missing", "flock", "tools", "lacks flock"),
            ("socket", "denied", "socket", "usermod -aG docker deploy"),
            ("socket", "none", "socket", "install Docker"),
            ("docker", "19.03.1 1.40 1.12", "docker", "too old"),
            ("docker", "99.0.0 1.99 1.60", "docker", "update dhow"),
            ("docker", "Cannot connect to the Docker daemon", "docker", "does not answer"),
            ("docker-cli", "none", "docker", "docker-ce-cli"),
            ("compose", "1.29.2", "compose", "too old"),
            ("compose", "docker: 'compose' is not a docker command.", "compose", "docker-compose-plugin"),
            ("disk", "/dev/vda 100 1 1000000 99% /var", "disk", "1.0 GiB free"),
            ("disk", "/dev/vda 100 1 1000 99% /var", "disk", "is full"),
            ("disk", "/dev/vda 100000000 1 10000000 90% /var", "disk", "90 % in use"),
            ("swarm", "locked false", "swarm", "docker swarm unlock"),
            ("swarm", "active false", "swarm", "not a manager"),
            ("inodes", "/dev/vda 100 100 0 100% /", "disk", "no inode"),
            ("MemAvailable:", "1000", "memory", "may be killed"),
            ("load", "99", "load", "deploys will be slow"),
            ("time", "900", "clock", "100 s behind"),
            ("time", "1100", "clock", "ahead"),
            ("home", "Permission denied", "home", "keeps its locks"),
        ] {
            let mut facts = facts(&GOOD);
            facts.insert(key.into(), vec![value.into()]);
            let found = all(&facts, at(1000), Duration::ZERO);
            let finding =
                found.iter().find(|finding| finding.check == check && finding.standing != Standing::Ok);
            assert!(
                finding.is_some_and(|finding| finding.message.contains(text)),
                "{key} {value}: {found:?}"
            );
        }
    }
}
