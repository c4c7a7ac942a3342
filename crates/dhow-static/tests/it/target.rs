//! The target over a real disk and a real web server: the contract of targets, and what is special to static files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dhow_core::fleet::{Deployment, DeploymentSettings, MemoryTree, Probe, Route};
use dhow_core::noun::{ArtifactName, Digest, Pin, SourceLabels, Tag};
use dhow_core::port::{
    CheckAddress, Context, Executor, ExecutorError, Executors, Front, Observed, Phase, Place, RenderInput,
    Rendered, Settled, SourceError, Step, Target, TargetError,
};
use dhow_static::{Sites, StaticTarget, StaticTargetConfig};
use dhow_testkit::target::Lab;
use dhow_testkit::{MemorySource, SourceCall};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::fixture::{archive, file, hash, id};
use crate::http::{HOST, exchange, get, request};

const FOLDER: &str = "services/shop/static_file/stage";

/// A fleet without servers.
struct NoServers;

#[async_trait]
impl Executors for NoServers {
    async fn at(&self, place: &Place) -> Result<Arc<dyn Executor>, ExecutorError> {
        Err(ExecutorError::Refused(format!("the fleet has no server {place}")))
    }
}

/// Another process over the same folders is another [`Bench::reopen`].
struct Bench {
    target: Arc<StaticTarget>,
    source: Arc<MemorySource>,
    sites: Sites,
    address: SocketAddr,
    dir: Arc<TempDir>,
    _stop: tokio_util::sync::DropGuard,
}

impl Bench {
    async fn new() -> Self {
        Self::over(Arc::new(TempDir::new().unwrap()), Arc::default()).await
    }

    async fn over(dir: Arc<TempDir>, source: Arc<MemorySource>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, sites) = (listener.local_addr().unwrap(), Sites::default());
        let (root, candidates) = (dir.path().join("state"), dir.path().join("c"));
        let executors = Arc::new(NoServers);
        let config =
            StaticTargetConfig { root, candidates, sites: sites.clone(), sites_address: address, executors };
        let target = Arc::new(StaticTarget::open(config).await.unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(dhow_static::web::serve(listener, sites.clone(), 100, stop.clone()));
        Self { target, source, sites, address, dir, _stop: stop.drop_guard() }
    }

    /// As after a crash and a new start.
    async fn reopen(&self) -> Self {
        Self::over(self.dir.clone(), self.source.clone()).await
    }

    /// What a rollout of this bundle runs under.
    async fn bundle(&self, version: &str, content: Vec<u8>, settings: DeploymentSettings) -> Context {
        let (repository, tag) = ("ghcr.io/acme/shop-web".parse().unwrap(), Tag::new(version).unwrap());
        let digest = self.source.put(&repository, &tag, SourceLabels::default(), content);
        let settings =
            DeploymentSettings { bundle: Some("ghcr.io/acme/shop-web".parse().unwrap()), ..settings };
        let pin = Pin { repository, tag: Some(tag), digest };
        let pins = BTreeMap::from([(ArtifactName::new("web").unwrap(), pin)]);
        self.context(version, &[], settings, pins).await
    }

    async fn site(&self, version: &str) -> Context {
        self.bundle(version, archive(&[file("index.html", version)]), DeploymentSettings::default()).await
    }

    async fn context(
        &self,
        version: &str,
        files: &[(&str, &str)],
        settings: DeploymentSettings,
        pins: BTreeMap<ArtifactName, Pin>,
    ) -> Context {
        let files: Vec<_> = files.iter().map(|(path, text)| (format!("{FOLDER}/{path}"), *text)).collect();
        let deployment = deployment(files.iter().map(|(path, _)| path.clone()).collect(), settings);
        let tree = Arc::new(MemoryTree::new(files));
        let input = RenderInput { deployment, tree: tree.clone(), pins };
        Context {
            rendered: Arc::new(self.target.render(input).await.unwrap()),
            hash: hash(version).hex().parse().unwrap(),
            tree: Some(tree),
            rollout: 1,
            epoch: 1,
            bundles: self.source.clone(),
            keep: Vec::new(),
            log: Arc::new(()),
        }
    }

    async fn plan(&self, context: &Context) -> Vec<Step> {
        let observed = self.target.observe(&context.rendered, &Place::Local).await.unwrap();
        self.target.plan(&context.rendered, &context.hash, &Place::Local, &observed)
    }

    async fn roll_out(&self, context: &Context) {
        for step in self.plan(context).await {
            self.target.execute(&step, context).await.unwrap_or_else(|error| panic!("{}: {error}", step.key));
        }
    }

    async fn body(&self) -> Option<String> {
        let answer = get(self.address, "/", "").await;
        (answer.status == 200).then(|| answer.text().to_owned())
    }
}

fn deployment(files: Vec<String>, settings: DeploymentSettings) -> Arc<Deployment> {
    Arc::new(Deployment {
        sites: Vec::new(),
        id: id(),
        folder: FOLDER.into(),
        spelled_environment: "stage".into(),
        files,
        dependencies: Vec::new(),
        settings,
    })
}

fn hosts(host: &str) -> DeploymentSettings {
    DeploymentSettings { hosts: vec![host.into()], ..DeploymentSettings::default() }
}

struct ContractLab {
    bench: Bench,
    releases: [Context; 2],
}

#[async_trait]
impl Lab for ContractLab {
    fn target(&self) -> Arc<dyn Target> {
        self.bench.target.clone()
    }

    fn place(&self) -> Place {
        Place::Local
    }

    fn release(&self, number: u8) -> Context {
        self.releases[usize::from(number) - 1].clone()
    }

    async fn visible(&self) -> Option<String> {
        self.bench.body().await
    }
}

#[tokio::test]
async fn it_keeps_the_contract_of_targets() {
    dhow_testkit::target::contract(async || {
        let bench = Bench::new().await;
        let releases = [bench.site("1").await, bench.site("2").await];
        ContractLab { bench, releases }
    })
    .await;
}

#[tokio::test]
async fn a_process_killed_between_any_two_steps_keeps_the_sites_and_its_successor_completes() {
    for cut in 0..=4 {
        let bench = Bench::new().await;
        bench.roll_out(&bench.site("1").await).await;
        let context = bench.site("2").await;
        let steps = bench.plan(&context).await;
        for step in &steps[..cut] {
            bench.target.execute(step, &context).await.unwrap();
        }
        let seen = bench.body().await;
        let next = bench.reopen().await;
        assert_eq!(next.body().await, seen, "a restart after {cut} steps changed what visitors see");
        for (at, step) in steps.iter().enumerate() {
            let settled = next.target.settle(step, &context).await.unwrap();
            assert_ne!(
                settled,
                if at < cut { Settled::NotDone } else { Settled::Done },
                "{} after {cut}",
                step.key
            );
            next.target.execute(step, &context).await.unwrap();
        }
        assert_eq!(next.body().await.as_deref(), Some("2"));
        assert_eq!(next.plan(&context).await, []);
    }
}

#[tokio::test]
async fn a_bundle_that_is_refused_leaves_the_old_release_serving_and_names_the_entry() {
    let bench = Bench::new().await;
    bench.roll_out(&bench.site("1").await).await;
    let bad = archive(&[file("index.html", "2"), file("../x", "2")]);
    let context = bench.bundle("2", bad, DeploymentSettings::default()).await;
    let steps = bench.plan(&context).await;
    assert_eq!((steps[0].summary.as_str(), steps[0].phase), ("unpack web 2", Phase::Preparing));
    let error = bench.target.execute(&steps[0], &context).await.unwrap_err();
    assert!(matches!(&error, TargetError::Failed(message) if message.contains("../x")), "{error}");
    bench.target.undo(&steps[0], &context).await.unwrap();
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap().len(), 1);
}

#[tokio::test]
async fn undoing_the_first_rollout_leaves_nothing_served_and_nothing_on_disk() {
    let bench = Bench::new().await;
    let context = bench.site("1").await;
    let steps = bench.plan(&context).await;
    for step in &steps[..3] {
        bench.target.execute(step, &context).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    for step in steps[..3].iter().rev() {
        bench.target.undo(step, &context).await.unwrap();
    }
    assert_eq!(bench.body().await, None);
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap(), []);
}

#[tokio::test]
async fn a_rollback_needs_no_registry_and_its_undo_never_removes_a_kept_release() {
    let bench = Bench::new().await;
    let (first, second) = (bench.site("1").await, bench.site("2").await);
    bench.roll_out(&first).await;
    bench.roll_out(&second).await;
    let back = Context { bundles: Arc::new(MemorySource::default()), tree: None, ..first };
    let steps = bench.plan(&back).await;
    for step in &steps[..3] {
        bench.target.execute(step, &back).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    for step in steps[..3].iter().rev() {
        bench.target.undo(step, &back).await.unwrap();
    }
    assert_eq!(bench.body().await.as_deref(), Some("2"));
    bench.roll_out(&back).await;
    assert_eq!(bench.body().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn pruning_keeps_the_live_the_previous_and_the_wanted_releases() {
    let bench = Bench::new().await;
    for version in ["1", "2", "3"] {
        let keep = vec![hash("1").hex().parse().unwrap()];
        bench.roll_out(&Context { keep, ..bench.site(version).await }).await;
    }
    assert_eq!(bench.target.releases(&id(), &Place::Local).await.unwrap().len(), 3);
    bench.roll_out(&bench.site("4").await).await;
    let left = bench.target.releases(&id(), &Place::Local).await.unwrap();
    let mut left: Vec<_> =
        left.into_iter().map(|release| (release.hash.to_string(), release.current)).collect();
    left.sort_by_key(|(_, current)| *current);
    assert_eq!(left, [(hash("3").hex(), false), (hash("4").hex(), true)]);
}

#[tokio::test]
async fn files_of_the_folder_are_served_and_settings_and_hidden_files_are_not() {
    let bench = Bench::new().await;
    let files =
        [("index.html", "home"), ("a/b.txt", "b"), ("dhow.yaml", "x"), (".env", "x"), ("oops.html", "gone")];
    let settings =
        DeploymentSettings { not_found: Some("oops.html".into()), ..DeploymentSettings::default() };
    let context = bench.context("1", &files, settings, BTreeMap::new()).await;
    let served = ["a/b.txt", "index.html", "oops.html"].map(|file| format!("{FOLDER}/{file}"));
    assert_eq!((&context.rendered.fleet_files[..], &context.rendered.reads[..]), (&served[..], &served[..]));
    assert_eq!(bench.plan(&context).await[0].summary, "unpack 3 files of the fleet");
    bench.roll_out(&context).await;
    assert_eq!(bench.body().await.as_deref(), Some("home"));
    for hidden in ["/dhow.yaml", "/.env"] {
        let answer = get(bench.address, hidden, "").await;
        assert_eq!((answer.status, answer.text()), (404, "gone"));
    }
}

#[tokio::test]
async fn nothing_to_serve_and_a_bundle_without_a_version_say_what_to_do() {
    let bench = Bench::new().await;
    let render = async |settings: DeploymentSettings| {
        let deployment = deployment(vec![format!("{FOLDER}/dhow.yaml")], settings);
        let input = RenderInput { deployment, tree: Arc::new(MemoryTree::default()), pins: BTreeMap::new() };
        match bench.target.render(input).await.unwrap_err() {
            TargetError::Failed(message) => message,
            other => panic!("{other:?}"),
        }
    };
    let message = render(DeploymentSettings::default()).await;
    assert!(message.contains("has nothing to serve; put the site's files into"), "{message}");
    let bundle = Some("ghcr.io/acme/web".parse().unwrap());
    let message = render(DeploymentSettings { bundle, ..DeploymentSettings::default() }).await;
    assert!(message.contains("the first update sets it"), "{message}");
}

#[tokio::test]
async fn the_candidate_answers_on_a_socket_that_a_restart_starts_again() {
    let bench = Bench::new().await;
    let context = bench.site("1").await;
    let steps = bench.plan(&context).await;
    for step in &steps[..2] {
        bench.target.execute(step, &context).await.unwrap();
    }
    let asked = async |bench: &Bench| {
        let address = bench
            .target
            .address(&context.rendered, &context.hash, &Place::Local, Front::Candidate)
            .await
            .unwrap();
        let CheckAddress::Unix(path) = address else { panic!("{address:?}") };
        let stream = UnixStream::connect(&path).await.unwrap();
        (exchange(stream, &format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n")).await.text().to_owned(), path)
    };
    let (text, path): (String, PathBuf) = asked(&bench).await;
    assert_eq!(text, "1");
    let next = bench.reopen().await;
    assert_eq!(asked(&next).await.0, "1");
    assert_eq!(bench.body().await, None, "a candidate is public");
    bench.target.undo(&steps[1], &context).await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn hosts_are_served_after_a_restart_and_go_back_with_the_release() {
    let bench = Bench::new().await;
    let of = async |bench: &Bench, host: &str| {
        request(bench.address, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n")).await.status
    };
    let page = archive(&[file("index.html", "1")]);
    bench.roll_out(&bench.bundle("1", page.clone(), hosts("old.acme.dev")).await).await;
    let bench = bench.reopen().await;
    assert_eq!(of(&bench, "old.acme.dev").await, 200);
    let route = Some(Route { host: "new.acme.dev".into(), ..Route::default() });
    let settings = DeploymentSettings { route, ..DeploymentSettings::default() };
    let second = bench.bundle("2", page, settings).await;
    assert_eq!(bench.target.host(&second.rendered), "new.acme.dev");
    let steps = bench.plan(&second).await;
    for step in &steps[..3] {
        bench.target.execute(step, &second).await.unwrap();
    }
    assert_eq!((of(&bench, "old.acme.dev").await, of(&bench, "new.acme.dev").await), (404, 200));
    bench.target.undo(&steps[2], &second).await.unwrap();
    assert_eq!((of(&bench, "old.acme.dev").await, of(&bench, "new.acme.dev").await), (200, 404));
}

#[tokio::test]
async fn a_host_of_another_deployment_fails_the_switch_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.roll_out(&bench.site("1").await).await;
    bench.sites.set_hosts(&"blog/static_file/stage".parse().unwrap(), &["www.acme.dev".into()]).unwrap();
    let page = archive(&[file("index.html", "2")]);
    let context = bench.bundle("2", page, hosts("www.acme.dev")).await;
    let steps = bench.plan(&context).await;
    for step in &steps[..2] {
        bench.target.execute(step, &context).await.unwrap();
    }
    let error = bench.target.execute(&steps[2], &context).await.unwrap_err();
    assert!(matches!(&error, TargetError::Failed(message) if message.contains("www.acme.dev")), "{error}");
    assert_eq!(bench.body().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_host_that_went_missing_from_the_table_is_set_again() {
    let bench = Bench::new().await;
    let context = bench.bundle("1", archive(&[file("index.html", "1")]), hosts("www.acme.dev")).await;
    bench.roll_out(&context).await;
    bench.sites.set_hosts(&id(), &[]).unwrap();
    let steps = bench.plan(&context).await;
    assert_eq!((steps.len(), steps[0].phase), (1, Phase::Switching));
    bench.roll_out(&context).await;
    assert_eq!(bench.sites.hosts(&id()), [HOST, "www.acme.dev"]);
    assert_eq!(bench.plan(&context).await, []);
}

#[tokio::test]
async fn what_runs_is_reported_verified_and_mended() {
    let bench = Bench::new().await;
    let context = bench.site("1").await;
    bench.roll_out(&context).await;
    let observed = bench.target.observe(&context.rendered, &Place::Local).await.unwrap();
    let wanted: Vec<Digest> = context.rendered.pins.values().map(|pin| pin.digest).collect();
    assert_eq!(observed.running.into_iter().collect::<Vec<_>>(), wanted);
    let verify = async |context: &Context| {
        bench.target.verify(&context.rendered, &context.hash, &Place::Local).await.map_err(|e| e.to_string())
    };
    verify(&context).await.unwrap();
    assert!(verify(&bench.site("2").await).await.unwrap_err().contains("is live on disk"));
    let files = bench.target.store().find(&id(), hash("1")).await.unwrap().unwrap().files_dir();
    std::fs::write(files.join("index.html"), "X").unwrap();
    assert!(verify(&context).await.unwrap_err().contains("1 changed (index.html)"));
    std::fs::remove_file(files.join("index.html")).unwrap();
    assert_eq!(
        bench.plan(&context).await[0].summary,
        "mend shop/static_file/stage: bring back web 1 and serve it"
    );
    bench.roll_out(&context).await;
    verify(&context).await.unwrap();
    assert_eq!(bench.plan(&context).await, []);
}

#[tokio::test]
async fn the_default_check_asks_for_the_index_where_there_is_one() {
    let bench = Bench::new().await;
    let probe = async |context: &Context| {
        bench.roll_out(context).await;
        bench.target.default_probe(&context.rendered, &context.hash).await.unwrap()
    };
    let with = probe(&bench.site("1").await).await;
    assert!(matches!(with, Some(Probe::Http { url, status: 200, .. }) if url == "http://{host}/"));
    let without = bench.bundle("2", archive(&[file("data.json", "{}")]), DeploymentSettings::default()).await;
    assert_eq!(probe(&without).await, None);
}

#[tokio::test]
async fn an_older_dhow_is_refused_by_every_change_also_after_restart_and_removal() {
    let bench = Bench::new().await;
    let context = Context { epoch: 7, ..bench.site("1").await };
    let steps = bench.plan(&context).await;
    bench.roll_out(&context).await;
    let bench = bench.reopen().await;
    let old = Context { epoch: 6, ..context };
    let fenced = |error| matches!(error, Err(TargetError::Fenced { seen: 7, ours: 6 }));
    assert!(fenced(bench.target.execute(&steps[0], &old).await));
    assert!(fenced(bench.target.undo(&steps[2], &old).await));
    assert!(fenced(bench.target.remove(&id(), &Place::Local, 6).await));
    assert_eq!(bench.body().await.as_deref(), Some("1"));
    bench.target.remove(&id(), &Place::Local, 7).await.unwrap();
    assert!(fenced(bench.target.execute(&steps[0], &old).await));
    assert_eq!(bench.body().await, None);
}

#[tokio::test]
async fn a_registry_that_is_away_may_come_back_and_an_unknown_server_is_told() {
    let bench = Bench::new().await;
    let context = bench.site("1").await;
    let steps = bench.plan(&context).await;
    let away = SourceError::Unavailable { message: "ghcr.io does not answer".into(), retry_after: None };
    bench.source.fail_next(SourceCall::Bundle, away);
    let error = bench.target.execute(&steps[0], &context).await.unwrap_err();
    assert!(
        matches!(&error, TargetError::Passing(message) if message.contains("does not answer")),
        "{error}"
    );
    bench.target.execute(&steps[0], &context).await.unwrap();
    let place = Place::Server("web1".parse().unwrap());
    let error = bench.target.observe(&context.rendered, &place).await.unwrap_err();
    assert!(matches!(&error, TargetError::Blocked(message) if message.contains("no server web1")), "{error}");
}

#[tokio::test]
async fn a_site_on_servers_is_planned_as_sent_and_says_who_must_read_it() {
    let bench = Bench::new().await;
    let settings =
        DeploymentSettings { servers: vec!["web1".parse().unwrap()], ..DeploymentSettings::default() };
    let context = bench.bundle("1", archive(&[file("index.html", "1")]), settings.clone()).await;
    assert!(context.rendered.notes[0].contains("set `directory:`"), "{:?}", context.rendered.notes);
    let place = context.rendered.places[0].clone();
    let seen =
        Observed { release: None, present: false, running: Default::default(), body: Default::default() };
    let steps = bench.target.plan(&context.rendered, &context.hash, &place, &seen);
    let told: Vec<&str> = steps.iter().map(|step| step.summary.as_str()).collect();
    assert_eq!(told[..2], ["unpack web 1", "send web 1 to web1 and compare it there"]);
    assert!(steps.is_sorted_by_key(|step| step.phase) && steps.iter().all(|step| step.place == place));
    let address = bench.target.address(&context.rendered, &context.hash, &place, Front::Door).await.unwrap();
    assert!(
        matches!(&address, CheckAddress::Nowhere(why) if why.contains("front: 127.0.0.1:80")),
        "{address:?}"
    );
    assert_eq!(bench.target.default_probe(&context.rendered, &context.hash).await.unwrap(), None);
    let settings = DeploymentSettings { directory: Some("/srv/www/shop".into()), ..settings };
    assert_eq!(bench.bundle("2", archive(&[]), settings).await.rendered.notes, [""; 0]);
}

#[tokio::test]
async fn a_damaged_site_does_not_keep_the_others_from_starting() {
    let bench = Bench::new().await;
    bench.roll_out(&bench.site("1").await).await;
    let broken: Rendered = Rendered {
        deployment: "blog/static_file/stage".parse().unwrap(),
        ..(*bench.site("1").await.rendered).clone()
    };
    let context = Context { rendered: Arc::new(broken), ..bench.site("1").await };
    bench.roll_out(&context).await;
    let manifest = format!("state/sites/blog/stage/releases/{}/manifest.json", context.hash);
    std::fs::write(bench.dir.path().join(manifest), "{").unwrap();
    let next = bench.reopen().await;
    assert_eq!(next.body().await.as_deref(), Some("1"));
    assert!(next.sites.live(&context.rendered.deployment).is_none());
    next.roll_out(&context).await;
    assert!(next.sites.live(&context.rendered.deployment).is_some(), "a rollout did not mend it");
}
