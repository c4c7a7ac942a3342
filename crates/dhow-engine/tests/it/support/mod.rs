//! A small world: a fleet, a registry, docks where things run, people, and a Dhow that can be killed.

mod clock;
mod dock;
pub mod fleet;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dhow_core::noun::{
    DeploymentId, Digest, EnvironmentName, PersonName, Repository, ServiceName, SourceLabels, Tag, TargetType,
};
use dhow_core::port::{
    Batch, BranchName, CommitId, EventQuery, Expect, FileChange, FleetRepo, Place, Record, Scan, Store,
    StoreExt, Target,
};
use dhow_core::rollout::{DeploymentRow, Event, Hold, Proposal, Quarantined, Release, Rollout};
use dhow_engine::command::{Actor, Outcome, RollbackTo};
use dhow_engine::{Engine, EngineError, Ports, Settings};
use dhow_testkit::{MemoryFleetRepo, MemorySource, MemoryStore};
use tokio::runtime::Runtime;

pub use clock::VirtualClock;
pub use dock::{BROKEN, Dock};
pub use store::{Cut, Fuse};

/// Path and content.
pub type File = (String, String);

/// Virtual time after which everything that comes by itself has come: more than any interval or backoff.
const WHILE: Duration = Duration::from_secs(180);

/// All that Dhow deals with, and Dhow.
pub struct World {
    runtime: Option<Runtime>,
    engine: Option<Engine>,
    clock: Arc<VirtualClock>,
    pub store: Arc<Fuse>,
    pub fleet: Arc<MemoryFleetRepo>,
    pub source: Arc<MemorySource>,
    docks: BTreeMap<TargetType, Arc<Dock>>,
    /// How long [`World::settle`] waits.
    pub patience: Duration,
    pub settings: Settings,
}

impl World {
    /// A world with this fleet, in which Dhow is not started yet.
    pub fn new(files: impl IntoIterator<Item = File>) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let store = Arc::new(Fuse::new(MemoryStore::new(clock.clone())));
        let fleet = Arc::new(MemoryFleetRepo::new(main()));
        fleet.person_commits(changes(files), "founder");
        let docks = [TargetType::StaticFile, TargetType::Compose, TargetType::Swarm];
        let docks = docks.into_iter().map(|kind| (kind, Dock::new(kind))).collect();
        Self {
            runtime: None,
            engine: None,
            clock,
            store,
            fleet,
            source: Arc::default(),
            docks,
            patience: WHILE,
            settings: Settings::default(),
        }
    }

    /// Starts Dhow, and waits until nothing comes by itself any more.
    pub fn start(&mut self) {
        self.boot();
        self.settle();
    }

    /// Starts Dhow, and waits for nothing.
    pub fn start_at_once(&mut self) {
        self.boot();
    }

    /// It was stored so.
    pub fn put(&self, record: &impl Record) {
        let puts = vec![record.put(Expect::Any).unwrap()];
        now(self.store.inner().commit(Batch { puts, events: Vec::new() })).unwrap();
    }

    fn boot(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let mut targets: BTreeMap<TargetType, Arc<dyn Target>> = BTreeMap::new();
        for (kind, dock) in &self.docks {
            targets.insert(*kind, dock.clone());
        }
        let ports = Ports {
            store: self.store.clone(),
            fleet: self.fleet.clone(),
            source: self.source.clone(),
            targets,
            clock: self.clock.clone(),
        };
        let settings = self.settings.clone();
        let opened = runtime.block_on(async {
            let engine = Engine::open(ports, settings, "test").await.unwrap();
            let running = engine.clone();
            tokio::spawn(async move { running.run().await.unwrap() });
            engine
        });
        self.runtime = Some(runtime);
        self.engine = Some(opened);
    }

    /// Kills Dhow, whatever it does, and starts it again on what is stored.
    pub fn restart(&mut self) {
        self.kill();
        self.boot();
        self.settle();
    }

    /// Kills Dhow.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(async { self.clock.carry_over() });
            self.engine = None;
            drop(runtime);
            self.store.revive();
        }
    }

    /// Kills Dhow and starts it with an empty database. What runs goes on running.
    pub fn lose_database(&mut self) {
        self.kill();
        self.store = Arc::new(Fuse::new(MemoryStore::new(self.clock.clone())));
        self.start();
    }

    /// Lets some time go by. Where Dhow dies meanwhile, it is started again.
    pub fn pass(&mut self, time: Duration) {
        let died = self.runtime.as_ref().unwrap().block_on(async {
            tokio::select! {
                () = self.store.dies() => true,
                () = tokio::time::sleep(time) => false,
            }
        });
        if died {
            self.restart();
        }
    }

    /// Waits until nothing comes by itself any more.
    pub fn settle(&mut self) {
        self.pass(self.patience);
    }

    /// A person asks something of Dhow. `None`: it died before it answered, and was started again.
    pub fn try_ask<T>(
        &mut self,
        what: impl AsyncFnOnce(&Engine) -> Result<T, EngineError>,
    ) -> Option<Result<T, EngineError>> {
        let engine = self.engine.clone().unwrap();
        let answer = self.runtime.as_ref().unwrap().block_on(async {
            tokio::select! {
                () = self.store.dies() => None,
                answer = what(&engine) => Some(answer),
            }
        });
        drop(engine);
        if answer.is_none() {
            self.restart();
        }
        answer
    }

    /// A person asks something of Dhow, and everything that follows from it comes to its end.
    pub fn ask<T>(
        &mut self,
        what: impl AsyncFnOnce(&Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let answer = self.try_ask(what).unwrap();
        self.settle();
        answer
    }

    /// An older Dhow stored this rollout: what follows from its failure is not stored yet.
    pub fn forget_conclusions(&self, rollout: &Rollout) {
        let mut puts = vec![rollout.put(Expect::Any).unwrap()];
        puts.extend(self.list::<Quarantined>("").iter().map(|q| Quarantined::remove(q.key())));
        puts.extend(self.list::<Hold>("").iter().map(|hold| Hold::remove(hold.key())));
        now(self.store.inner().commit(Batch { puts, events: Vec::new() })).unwrap();
    }

    pub fn forget_server(&mut self, who: &str, server: &str) -> Result<Outcome, EngineError> {
        let (actor, server) = (actor(who), server.parse().unwrap());
        self.ask(async move |e| e.forget_server(&actor, &server).await)
    }

    pub fn approve(&mut self, who: &str, service: &str, environment: &str) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        self.ask(async move |e| e.approve(&actor, &service, &environment, None).await)
    }

    pub fn reject(&mut self, who: &str, service: &str, environment: &str) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        self.ask(async move |e| e.reject(&actor, &service, &environment, None, None).await)
    }

    pub fn sync(&mut self, who: &str, service: &str, environment: &str) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        self.ask(async move |e| e.sync(&actor, &service, &environment).await)
    }

    pub fn resume(&mut self, who: &str, service: &str, environment: &str) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        self.ask(async move |e| e.resume(&actor, &service, &environment).await)
    }

    pub fn promote(&mut self, who: &str, service: &str, environment: &str) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        self.ask(async move |e| e.promote(&actor, &service, &environment).await)
    }

    pub fn rollback(
        &mut self,
        who: &str,
        service: &str,
        environment: &str,
        to: &str,
    ) -> Result<Outcome, EngineError> {
        let (actor, service, environment) = (actor(who), name(service), place(environment));
        let to = RollbackTo::Version(to.into());
        self.ask(async move |e| e.rollback(&actor, &service, &environment, &to).await)
    }

    /// A version is published, and the registry says so. Its content is its name.
    pub fn publish(&self, repository: &str, tag: &str) -> Digest {
        self.publish_content(repository, tag, &format!("{repository}:{tag}"))
    }

    /// A version that is in the registry, and that nobody tells of.
    pub fn content_of(&self, repository: &str, tag: &str) -> Digest {
        let at: Repository = format!("r.test/{repository}").parse().unwrap();
        let content = format!("{repository}:{tag}");
        self.source.put(&at, &Tag::new(tag).unwrap(), SourceLabels::default(), content)
    }

    pub fn publish_content(&self, repository: &str, tag: &str, content: &str) -> Digest {
        let repository: Repository = format!("r.test/{repository}").parse().unwrap();
        let tag = Tag::new(tag).unwrap();
        let digest = self.source.put(&repository, &tag, SourceLabels::default(), content.to_owned());
        if let Some(engine) = &self.engine {
            engine.nudge_repository(&repository);
        }
        digest
    }

    /// The registry says that something was pushed there.
    pub fn nudge(&self, repository: &str) {
        if let Some(engine) = &self.engine {
            engine.nudge_repository(&format!("r.test/{repository}").parse().unwrap());
        }
    }

    /// A version is published whose checks fail wherever it is rolled out.
    pub fn publish_broken(&self, repository: &str, tag: &str) -> Digest {
        let digest = Digest::of(format!("{repository}:{tag}").as_bytes());
        self.docks.values().for_each(|dock| dock.break_version(None, digest));
        self.publish(repository, tag)
    }

    /// A person commits and pushes.
    pub fn push_by(&self, who: &str, files: impl IntoIterator<Item = File>) -> CommitId {
        let commit = self.fleet.person_commits(changes(files), who);
        self.nudge_fleet();
        commit
    }

    /// A person removes files and pushes.
    pub fn remove_by(&self, who: &str, paths: &[&str]) {
        let change = |path: &&str| FileChange { path: (*path).to_owned(), content: None };
        self.fleet.person_commits(paths.iter().map(change).collect(), who);
        self.nudge_fleet();
    }

    pub fn nudge_fleet(&self) {
        if let Some(engine) = &self.engine {
            engine.nudge_fleet();
        }
    }

    pub fn dock(&self, id: &str) -> &Dock {
        &self.docks[&deployment(id).target]
    }

    /// A file at the head of the fleet's branch.
    pub fn head(&self, path: &str) -> String {
        let bytes = self.fleet.remote_file(&main(), path).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    /// The tag that stands in a site's file at the head.
    pub fn pinned(&self, service: &str, environment: &str) -> String {
        let text = self.head(&fleet::site_path(service, environment));
        tag_in(&text, &format!("r.test/{service}/web:"))
    }

    /// Messages of the commits on the fleet's branch, oldest first.
    pub fn commits(&self) -> Vec<String> {
        now(async {
            let head = self.fleet.fetch().await.unwrap();
            let log = self.fleet.log(None, &head.commit, 10_000).await.unwrap();
            log.into_iter().rev().map(|c| c.message).collect()
        })
    }

    /// Messages of Dhow's own commits, first lines, oldest first.
    pub fn own_commits(&self) -> Vec<String> {
        let own = self.commits().into_iter().filter(|m| m.contains("Dhow-Why:"));
        own.map(|m| m.lines().next().unwrap_or_default().to_owned()).collect()
    }

    pub fn load<R: Record>(&self, key: &str) -> Option<R> {
        now(self.store.inner().load(key)).unwrap()
    }

    pub fn list<R: Record>(&self, prefix: &str) -> Vec<R> {
        let scan = Scan { prefix: prefix.into(), ..Scan::default() };
        now(self.store.inner().list(scan)).unwrap()
    }

    pub fn row(&self, id: &str) -> DeploymentRow {
        self.load(id).unwrap_or_else(|| panic!("{id} is not known"))
    }

    /// State of the last rollout; `adopted` where there was none.
    pub fn phase(&self, id: &str) -> String {
        let row = self.row(id);
        match (row.phase, row.adopted) {
            (Some(state), _) => state.to_string(),
            (None, true) => "adopted".into(),
            (None, false) => "none".into(),
        }
    }

    /// What it waits for; empty where it waits for nothing.
    pub fn waits(&self, id: &str) -> String {
        self.row(id).waiting_for.unwrap_or_default()
    }

    pub fn tags_of(&self, id: &str, hash: &dhow_core::fleet::DesiredHash) -> String {
        let Some(release) = self.load::<Release>(&format!("{id}/{hash}")) else { return hash.short() };
        let tags: Vec<String> = release
            .rendered
            .pins
            .values()
            .map(|p| p.tag.as_ref().map_or_else(|| p.digest.short(), ToString::to_string))
            .collect();
        tags.join("+")
    }

    /// The versions that run there, as the world says it; empty where nothing runs.
    pub fn running(&self, id: &str) -> String {
        self.running_at(id, &Place::Local)
    }

    /// The versions that run at a place.
    pub fn running_at(&self, id: &str, place: &Place) -> String {
        let at = deployment(id);
        let current = self.dock(id).target.current(&at, place);
        current.map(|hash| self.tags_of(id, &hash)).unwrap_or_default()
    }

    /// The releases that lie at its place.
    pub fn releases_there(&self, id: &str) -> Vec<String> {
        let there = now(self.dock(id).releases(&deployment(id), &Place::Local)).unwrap();
        there.iter().map(|r| self.tags_of(id, &r.hash)).collect()
    }

    /// Every rollout of a deployment, oldest first: `1.1.0 succeeded`.
    pub fn runs(&self, id: &str) -> Vec<String> {
        let rollouts = self.list::<Rollout>(&format!("{id}/"));
        rollouts.iter().map(|r| format!("{} {}", self.tags_of(id, &r.hash), r.state)).collect()
    }

    /// The versions that went live, in order.
    pub fn live(&self, id: &str) -> Vec<String> {
        let at = deployment(id);
        let switched = self.dock(id).switched();
        switched.iter().filter(|(of, _)| *of == at).map(|(_, hash)| self.tags_of(id, hash)).collect()
    }

    /// What people are asked.
    pub fn questions(&self, service: &str, environment: &str) -> Vec<Proposal> {
        let all = self.list::<Proposal>(&format!("{service}/{environment}/"));
        all.into_iter().filter(Record::open).collect()
    }

    pub fn events(&self) -> Vec<Event> {
        let query = EventQuery { limit: 100_000, ..EventQuery::default() };
        let stored = now(self.store.inner().events(query)).unwrap();
        stored.iter().map(|e| Event::read(e).unwrap()).collect()
    }

    /// Events behind this number, each with its own and its time in milliseconds.
    pub fn events_after(&self, after: u64) -> Vec<(u64, i64, Event)> {
        let query = EventQuery { after, limit: 100_000, ..EventQuery::default() };
        let stored = now(self.store.inner().events(query)).unwrap();
        stored.iter().map(|e| (e.seq, e.event.at_ms, Event::read(e).unwrap())).collect()
    }

    /// Events of a kind.
    pub fn told(&self, of: impl Fn(&Event) -> bool) -> usize {
        self.events().iter().filter(|e| of(e)).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Tasks must end before what they lean on.
        self.engine = None;
        drop(self.runtime.take());
    }
}

/// The twins never wait: what they promise is there at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    use futures::FutureExt as _;
    future.now_or_never().expect("a twin in memory answers at once")
}

pub fn main() -> BranchName {
    BranchName::new("main").unwrap()
}

pub fn deployment(id: &str) -> DeploymentId {
    id.parse().unwrap()
}

pub fn name(service: &str) -> ServiceName {
    ServiceName::new(service).unwrap()
}

pub fn place(environment: &str) -> EnvironmentName {
    EnvironmentName::new(environment).unwrap()
}

pub fn actor(person: &str) -> Actor {
    Actor { person: PersonName::new(person).unwrap() }
}

/// Files as a commit writes them.
pub fn changes(files: impl IntoIterator<Item = File>) -> Vec<FileChange> {
    let change = |(path, text): File| FileChange { path, content: Some(text.into_bytes()) };
    files.into_iter().map(change).collect()
}

/// The tag behind a repository in a text.
pub fn tag_in(text: &str, before: &str) -> String {
    let Some((_, rest)) = text.split_once(before) else { return String::new() };
    rest.chars().take_while(|c| !c.is_whitespace() && *c != '@').collect()
}
