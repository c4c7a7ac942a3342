//! What a simple model knows: what it saw happen from outside, and what the log says in its order.

use std::collections::{BTreeMap, BTreeSet};

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::{DeploymentId, Digest};
use dhow_core::port::Place;
use dhow_core::rollout::{DeploymentRow, Event, Health, Hold, Proposal, State};

use crate::support::{World, deployment};

use super::action::{Env, Shape, Svc, Who};
use super::{Broken, shop};

/// A rollout as the log tells of it.
#[derive(Debug, Clone)]
pub struct Run {
    pub hash: DesiredHash,
    pub state: State,
}

/// A yes: who, in which question, to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yes {
    pub who: Who,
    pub question: String,
    pub deployment: DeploymentId,
    pub hash: DesiredHash,
}

/// Who pushed last.
#[derive(Debug, Clone)]
struct Author {
    who: Who,
    /// What people were asked about before Dhow saw it: nothing of theirs is in that.
    before: BTreeSet<DesiredHash>,
    seen: bool,
}

/// What Dhow saw last of a service in an environment.
#[derive(Debug)]
struct LastSeen {
    files: Vec<String>,
    /// Who were authors then, by deployment.
    authors: Vec<Option<Author>>,
}

/// The model.
#[derive(Debug)]
pub struct Reference {
    pub shape: Shape,
    /// Versions by service, oldest first.
    versions: BTreeMap<Svc, Vec<String>>,
    numbers: usize,
    /// Which digests do not work where.
    pub broken: BTreeSet<(String, Digest)>,
    /// What is not in the fleet now.
    removed: BTreeSet<(Svc, Env)>,
    /// What was ever out of the fleet, or was stopped from outside.
    pub may_be_gone: BTreeSet<String>,
    /// Who pushed last, of what did not run since.
    authors: BTreeMap<String, Author>,
    /// Where somebody pushed since Dhow looked.
    last_seen: BTreeMap<(Svc, Env), LastSeen>,
    /// The tag that a person pinned last.
    pub by_hand: BTreeMap<(Svc, Env), String>,
    pub yes: Vec<Yes>,
    /// The number of the last event that was heard.
    pub heard: u64,
    pub runs: BTreeMap<(DeploymentId, u64), Run>,
    /// Digests that ran healthy, by deployment.
    pub healthy: BTreeSet<(DeploymentId, Digest)>,
    /// Digests that were adopted, by deployment.
    pub adopted: BTreeSet<(DeploymentId, Digest)>,
    pub quarantined: BTreeSet<(String, String, Digest)>,
    /// How many switches of each dock were looked at.
    pub switches: BTreeMap<String, usize>,
    /// What ran at the last look, and where.
    pub ran: BTreeMap<(String, Place), DesiredHash>,
    /// What the log last said of a deployment's health.
    pub health: BTreeMap<DeploymentId, Health>,
    /// Since when a digest is healthy somewhere without a break, in milliseconds, at the earliest.
    pub healthy_since: BTreeMap<(DeploymentId, Digest), i64>,
    /// What ran when the database was lost, at each of its places, and was not looked at since.
    pub unseen: BTreeMap<String, Vec<Option<DesiredHash>>>,
    /// What was adopted, and is not rolled out since.
    pub untouched: BTreeMap<DeploymentId, DesiredHash>,
    /// What is known to have run healthy since the database is there.
    pub settled: BTreeSet<DeploymentId>,
    /// Versions that failed where another one was healthy: they do not stay in the fleet.
    pub failed: BTreeSet<(String, String, Digest)>,
    /// What was held at the last look, and what was held at the same time and still is.
    holds: BTreeMap<String, Hold>,
    pub steady: BTreeMap<String, Hold>,
    /// What is held as far as the log was heard, and how often the fleet moved since somebody looked.
    pub holding: BTreeMap<String, Hold>,
    pub moves: usize,
    /// What ran and was not in the fleet when the database was lost, or left it before it was looked at again: nobody knows
    /// of it any more.
    pub forgotten: BTreeSet<String>,
}

impl Reference {
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            versions: Svc::ALL.map(|svc| (svc, vec!["1.0.0".to_owned()])).into(),
            numbers: 0,
            broken: BTreeSet::new(),
            removed: BTreeSet::new(),
            may_be_gone: BTreeSet::new(),
            authors: BTreeMap::new(),
            last_seen: BTreeMap::new(),
            by_hand: BTreeMap::new(),
            yes: Vec::new(),
            heard: 0,
            runs: BTreeMap::new(),
            healthy: BTreeSet::new(),
            adopted: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            switches: BTreeMap::new(),
            ran: BTreeMap::new(),
            health: BTreeMap::new(),
            healthy_since: BTreeMap::new(),
            unseen: BTreeMap::new(),
            untouched: BTreeMap::new(),
            settled: BTreeSet::new(),
            failed: BTreeSet::new(),
            holds: BTreeMap::new(),
            steady: BTreeMap::new(),
            holding: BTreeMap::new(),
            moves: 0,
            forgotten: BTreeSet::new(),
        }
    }

    /// Looks at the world: every promise holds.
    pub fn look(&mut self, world: &World) -> Result<(), Broken> {
        let holds: Vec<Hold> = world.list("");
        let holds = holds.into_iter().map(|hold| (format!("{}/{}", hold.service, hold.environment), hold));
        let before = std::mem::replace(&mut self.holds, holds.collect());
        let same = |(scope, hold): &(&String, &Hold)| {
            before.get(*scope).is_some_and(|old| old.files == hold.files && old.up_to == hold.up_to)
        };
        self.holding.clone_from(&before);
        self.moves = 0;
        self.steady = self.holds.iter().filter(same).map(|(s, h)| (s.clone(), h.clone())).collect();
        let events = world.events_after(self.heard);
        for (_, _, event) in &events {
            if let Event::Held { service, environment, .. } | Event::HoldEnded { service, environment, .. } =
                event
            {
                self.steady.remove(&format!("{service}/{environment}"));
            }
        }
        for (seq, at_ms, event) in events {
            self.heard = seq;
            self.still_held(&event);
            self.hear(world, &event, at_ms).map_err(|broken| format!("event {seq}: {broken}"))?;
        }
        self.see(world)
    }

    /// A hold may end for one of its releases without a word of it: when the fleet says another, when a person has it rolled
    /// out all the same, and when it was removed.
    fn still_held(&mut self, event: &Event) {
        match event {
            Event::Held { service, environment, .. } | Event::HoldEnded { service, environment, .. } => {
                self.holding.remove(&format!("{service}/{environment}"));
            }
            Event::Removed { deployment } => {
                let scope = format!("{}/{}", deployment.service, deployment.environment);
                self.holding.entry(scope).and_modify(|hold| drop(hold.hashes.remove(deployment)));
            }
            Event::FleetMoved { .. } if self.moves > 0 => self.holding.clear(),
            Event::FleetMoved { .. } => self.moves += 1,
            _ => {}
        }
    }

    pub fn synced(&mut self, svc: Svc, env: Env) {
        self.holds.remove(&format!("{}/{}", svc.name(), env.name()));
    }

    /// A published version, counted from the newest.
    pub fn published(&self, svc: Svc, back: usize) -> String {
        let all = &self.versions[&svc];
        all[all.len() - 1 - back % all.len()].clone()
    }

    /// All published versions, newest first.
    pub fn newest_first(&self, svc: Svc) -> impl Iterator<Item = &String> {
        self.versions[&svc].iter().rev()
    }

    pub fn next_version(&mut self, svc: Svc) -> String {
        let all = self.versions.entry(svc).or_default();
        let tag = format!("1.{}.0", all.len());
        all.push(tag.clone());
        tag
    }

    pub fn next_nightly(&mut self) -> String {
        self.numbers += 1;
        format!("nightly-{}", self.numbers)
    }

    pub fn next_text(&mut self) -> String {
        self.numbers += 1;
        format!("text {}", self.numbers)
    }

    pub fn breaks(&mut self, id: &str, digest: Digest) {
        self.broken.insert((id.to_owned(), digest));
    }

    pub fn pushed(&mut self, world: &World, who: Who, (svc, env): (Svc, Env), into: &[&str]) {
        let seen = self.last_seen.get(&(svc, env)).filter(|seen| seen.files == contents(world, svc, env));
        if let Some(seen) = seen {
            for (id, author) in shop::deployments(svc, env).iter().zip(&seen.authors) {
                self.authors.remove(*id);
                self.authors.extend(author.clone().map(|author| ((*id).to_owned(), author)));
            }
            return;
        }
        let asked: Vec<Proposal> = world.list(&format!("{}/{}/", svc.name(), env.name()));
        for id in into {
            // The database was lost, and this fleet was not looked at since: who wrote what stands in it is not known.
            if world.load::<DeploymentRow>(id).is_none() {
                continue;
            }
            let of = |asked: &Proposal| asked.hashes.get(&deployment(id)).copied();
            let before = asked.iter().filter_map(of).collect();
            self.authors.insert((*id).to_owned(), Author { who, before, seen: false });
        }
    }

    /// Somebody is about to push: what they put back as Dhow saw it last makes nobody an author.
    pub fn will_push(&mut self, world: &World, svc: Svc, env: Env) {
        let authors = &self.authors;
        self.last_seen.entry((svc, env)).or_insert_with(|| {
            let authors = shop::deployments(svc, env).iter().map(|id| authors.get(*id).cloned()).collect();
            LastSeen { files: contents(world, svc, env), authors }
        });
    }

    pub fn fleet_is_seen(&mut self) {
        self.last_seen.clear();
        self.authors.values_mut().for_each(|author| author.seen = true);
    }

    pub fn is_asked(&mut self, asked: &Proposal) {
        for (deployment, hash) in &asked.hashes {
            if let Some(author) = self.authors.get_mut(&deployment.to_string()).filter(|author| !author.seen)
            {
                author.before.insert(*hash);
            }
        }
    }

    pub fn pinned_by_hand(&mut self, svc: Svc, env: Env, tag: &str) {
        self.by_hand.insert((svc, env), tag.to_owned());
        // They insist: what failed there before stands.
        let digest = Digest::of(format!("{}:{tag}", svc.repository()).as_bytes());
        self.failed.remove(&(svc.name().to_owned(), env.name().to_owned(), digest));
    }

    pub fn removed(&mut self, world: &World, svc: Svc, env: Env) {
        self.removed.insert((svc, env));
        for id in shop::deployments(svc, env) {
            // The database was lost, and this fleet was not looked at since.
            if world.load::<DeploymentRow>(id).is_none() {
                self.forgotten.insert((*id).to_owned());
            }
            self.unseen.remove(*id);
            self.untouched.remove(&deployment(id));
            self.may_be_gone.insert((*id).to_owned());
        }
    }

    pub fn returned(&mut self, svc: Svc, env: Env) {
        self.removed.remove(&(svc, env));
        self.forgotten.retain(|id| !shop::deployments(svc, env).contains(&id.as_str()));
    }

    pub fn is_removed(&self, svc: Svc, env: Env) -> bool {
        self.removed.contains(&(svc, env))
    }

    pub fn stopped(&mut self, id: &str) {
        self.unseen.remove(id);
        self.untouched.remove(&deployment(id));
        self.may_be_gone.insert(id.to_owned());
    }

    /// Somebody says yes to a question. An author's own word is none.
    pub fn says_yes(&mut self, who: Who, asked: &Proposal) {
        for (deployment, hash) in &asked.hashes {
            let author = self.authors.get(&deployment.to_string());
            if author.is_none_or(|author| author.who != who || author.before.contains(hash)) {
                let question = asked.id.clone();
                self.yes.push(Yes { who, question, deployment: deployment.clone(), hash: *hash });
            }
        }
    }

    pub fn was_refused(&mut self, who: Who, asked: &Proposal) {
        self.yes.retain(|yes| yes.who != who || yes.question != asked.id);
    }

    /// The database is lost: who said yes, who wrote what waits, what is quarantined. What ran and what ran healthy are
    /// facts of the world.
    pub fn database_is_lost(&mut self, world: &World) {
        self.heard = 0;
        self.runs.clear();
        self.yes.clear();
        self.authors.clear();
        self.quarantined.clear();
        self.health.clear();
        self.healthy_since.clear();
        self.untouched.clear();
        self.unseen.clear();
        self.settled.clear();
        self.failed.clear();
        self.holds.clear();
        for (svc, env) in Svc::ALL.into_iter().flat_map(|svc| Env::ALL.map(|env| (svc, env))) {
            for id in shop::deployments(svc, env) {
                let running = shop::running(world, self.shape, id);
                if running.iter().all(Option::is_none) {
                    continue;
                }
                if self.is_removed(svc, env) {
                    self.forgotten.insert((*id).to_owned());
                } else {
                    self.unseen.insert((*id).to_owned(), running);
                }
            }
        }
    }

    /// The fleet's files are what runs: who wrote them is no author of what comes.
    pub fn forget_authors(&mut self, id: &str) {
        self.authors.remove(id);
    }
}

/// What stands in the fleet of a service in an environment.
fn contents(world: &World, svc: Svc, env: Env) -> Vec<String> {
    let files = shop::pins(svc, env, "").into_iter().chain([shop::other_file(svc, env, "")]);
    files.map(|(path, _)| world.head(&path)).collect()
}
