//! The target over real SSH.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use dhow_core::fleet::{Deployment, DeploymentSettings, MemoryTree, Server as FleetServer};
use dhow_core::noun::{ArtifactName, Digest, Pin, SourceLabels, Tag};
use dhow_core::port::{Context, Executors as _, Place, RenderInput, Settled, Target, TargetError};
use dhow_docker::executor::{Identity, Places, PlacesConfig};
use dhow_static::{Resources, Sites, StaticTarget, StaticTargetConfig};
use dhow_testkit::MemorySource;
use dhow_testkit::engines::{self, Server};
use dhow_testkit::target::Lab;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::yard::{Yard, fresh};

/// Bytes that no archive makes smaller.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// The target, with a real server.
struct Bench {
    target: Arc<StaticTarget>,
    source: Arc<MemorySource>,
    places: Arc<Places>,
    server: Server,
    name: String,
    yard: Yard,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Option<Self> {
        let server = engines::servers()?[0].clone();
        let name = fresh();
        let dir = TempDir::new().unwrap();
        let identity = Identity { file: server.identity.clone(), hosts: [server.address.to_string()].into() };
        let ssh = format!("deploy@{}:{}", server.address, server.port);
        let known = FleetServer {
            ssh,
            jump: None,
            identity: Some("key".into()),
            fingerprint: Some(server.fingerprint.clone()),
            environments: Vec::new(),
            labels: BTreeMap::new(),
            proxy: None,
            address: None,
            proxy_at: None,
        };
        let servers = BTreeMap::from([(server.name.parse().unwrap(), known)]);
        let config = PlacesConfig {
            home: dir.path().join("place"),
            known_hosts: dir.path().join("known_hosts"),
            identities: [("key".to_owned(), identity)].into(),
            servers: Arc::new(move || servers.clone()),
        };
        let places = Arc::new(Places::new(config).unwrap());
        let config = StaticTargetConfig {
            root: dir.path().join("s"),
            candidates: dir.path().join("c"),
            sites: Sites::default(),
            sites_address: SocketAddr::from(([127, 0, 0, 1], 1)),
            resources: Resources::default(),
            executors: Arc::clone(&places) as _,
        };
        let target = Arc::new(StaticTarget::open(config).await.unwrap());
        let yard = Yard::new(&server, &name);
        Some(Self { target, source: Arc::default(), places, server, name, yard, _dir: dir })
    }

    fn place(&self) -> Place {
        Place::Server(self.server.name.parse().unwrap())
    }

    /// What a rollout of this version runs under.
    async fn release(&self, version: &str, bulk: usize) -> Context {
        self.release_of(&self.name, &self.yard.directory, version, bulk).await
    }

    async fn release_of(&self, service: &str, directory: &str, version: &str, bulk: usize) -> Context {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, content) in [("index.html", version.as_bytes().to_vec()), ("a/bulk", noise(bulk))] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, &content[..]).unwrap();
        }
        let content = tar.into_inner().unwrap().finish().unwrap();
        let (repository, tag) = ("ghcr.io/acme/web".parse().unwrap(), Tag::new(version).unwrap());
        let digest = self.source.put(&repository, &tag, SourceLabels::default(), content);
        let pins =
            BTreeMap::from([(ArtifactName::new("web").unwrap(), Pin { repository, tag: Some(tag), digest })]);
        let settings = DeploymentSettings {
            bundle: Some("ghcr.io/acme/web".parse().unwrap()),
            servers: vec![self.server.name.parse().unwrap()],
            directory: Some(directory.to_owned()),
            ..DeploymentSettings::default()
        };
        let deployment = Arc::new(Deployment {
            id: format!("{service}/static_file/stage").parse().unwrap(),
            folder: "x".into(),
            spelled_environment: "stage".into(),
            files: Vec::new(),
            dependencies: Vec::new(),
            settings,
            sites: Vec::new(),
        });
        let input = RenderInput { deployment, tree: Arc::new(MemoryTree::default()), pins };
        Context {
            rendered: Arc::new(self.target.render(input).await.unwrap()),
            hash: Digest::of(version.as_bytes()).hex().parse().unwrap(),
            tree: None,
            rollout: 1,
            epoch: 1,
            bundles: self.source.clone(),
            keep: Vec::new(),
            log: Arc::new(()),
        }
    }

    async fn roll_out(&self, context: &Context) {
        let observed = self.target.observe(&context.rendered, &self.place()).await.unwrap();
        for step in self.target.plan(&context.rendered, &context.hash, &self.place(), &observed) {
            self.target.execute(&step, context).await.unwrap_or_else(|error| panic!("{}: {error}", step.key));
        }
    }
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
        self.bench.place()
    }

    fn release(&self, number: u8) -> Context {
        self.releases[usize::from(number) - 1].clone()
    }

    async fn visible(&self) -> Option<String> {
        self.bench.yard.page()
    }
}

#[tokio::test]
async fn a_static_site_on_a_server_keeps_the_contract_of_targets() {
    if engines::servers().is_none() {
        return;
    }
    dhow_testkit::target::contract(async || {
        let bench = Bench::new().await.unwrap();
        let releases = [bench.release("1", 10).await, bench.release("2", 10).await];
        ContractLab { bench, releases }
    })
    .await;
}

#[tokio::test]
async fn a_reader_on_the_server_sees_the_old_release_or_the_new_one_and_never_none() {
    let Some(bench) = Bench::new().await else { return };
    let (one, two) = (bench.release("1", 10).await, bench.release("2", 10).await);
    bench.roll_out(&one).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (path, ended) = (bench.yard.files().join("current/index.html"), Arc::clone(&stop));
    let reader = std::thread::spawn(move || {
        let mut reads = 0u64;
        while !ended.load(Ordering::Relaxed) {
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("after {reads}: {error}"));
            assert!(["1", "2"].contains(&text.as_str()), "{text:?}");
            reads += 1;
        }
        reads
    });
    for context in [&two, &one, &two] {
        bench.roll_out(context).await;
    }
    // What somebody else damaged is replaced without a gap, too: here a file that nobody reads.
    let bulk = bench.yard.files().join("current/a/bulk");
    std::fs::write(bulk, "damaged").unwrap();
    let told = bench.target.verify(&two.rendered, &two.hash, &bench.place()).await.unwrap_err();
    assert!(matches!(&told, TargetError::Failed(why) if why.contains("a/bulk")), "{told}");
    bench.roll_out(&two).await;
    bench.target.verify(&two.rendered, &two.hash, &bench.place()).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let reads = reader.join().unwrap();
    assert!(reads > 100, "{reads}");
    assert_eq!(bench.yard.releases().len(), 2);
}

#[tokio::test]
async fn a_send_that_is_cut_leaves_nothing_half_and_is_done_again() {
    let Some(bench) = Bench::new().await else { return };
    bench.roll_out(&bench.release("1", 10).await).await;
    let big = bench.release("2", 24 << 20).await;
    let observed = bench.target.observe(&big.rendered, &bench.place()).await.unwrap();
    let steps = bench.target.plan(&big.rendered, &big.hash, &bench.place(), &observed);
    bench.target.execute(&steps[0], &big).await.unwrap();
    let half = async {
        let releases = bench.yard.files().join("releases");
        let is_half = || {
            let mut names = std::fs::read_dir(&releases).unwrap().flatten();
            names.any(|name| name.file_name().to_string_lossy().contains(".dhow-"))
        };
        while !is_half() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = bench.target.execute(&steps[1], &big) => panic!("it was not cut: {done:?}"),
        () = half => {}
    }
    assert!(bench.yard.releases().iter().filter(|name| !name.starts_with('.')).count() == 1);
    assert_eq!(bench.target.settle(&steps[1], &big).await.unwrap(), Settled::NotDone);
    for step in &steps[1..] {
        bench.target.execute(step, &big).await.unwrap();
    }
    assert_eq!((bench.yard.page().as_deref(), bench.yard.releases().len()), (Some("2"), 2));
}

#[tokio::test]
async fn what_another_tool_left_is_taken_over_and_put_back() {
    let Some(bench) = Bench::new().await else { return };
    let files = bench.yard.files();
    std::fs::create_dir(files.join("old")).unwrap();
    std::fs::write(files.join("old/index.html"), "old").unwrap();
    std::os::unix::fs::symlink("old", files.join("current")).unwrap();
    let context = bench.release("1", 10).await;
    let observed = bench.target.observe(&context.rendered, &bench.place()).await.unwrap();
    assert!(observed.present && observed.release.is_none());
    let steps = bench.target.plan(&context.rendered, &context.hash, &bench.place(), &observed);
    for step in &steps[..4] {
        bench.target.execute(step, &context).await.unwrap();
    }
    assert_eq!(bench.yard.page().as_deref(), Some("1"));
    for step in steps[..4].iter().rev() {
        bench.target.undo(step, &context).await.unwrap();
    }
    assert_eq!(bench.yard.page().as_deref(), Some("old"));
    assert_eq!(bench.yard.releases(), [""; 0]);
    // A folder of that name is nobody's to replace.
    std::fs::remove_file(files.join("current")).unwrap();
    std::fs::create_dir(files.join("current")).unwrap();
    let told = bench.target.observe(&context.rendered, &bench.place()).await.unwrap_err();
    assert!(matches!(&told, TargetError::Blocked(why) if why.contains("is no link")), "{told}");
}

#[tokio::test]
async fn a_directory_is_one_deployments_and_whoever_left_it_removes_nothing_of_the_next() {
    let Some(bench) = Bench::new().await else { return };
    let (place, directory) = (bench.place(), bench.yard.directory.clone());
    let first = bench.release("1", 10).await;
    bench.roll_out(&first).await;
    let other = bench.release_of(&format!("{}-other", bench.name), &directory, "2", 10).await;
    let told = bench.target.bring(&other).await.unwrap_err();
    let whose = format!("it is that of stage/{}", bench.name);
    assert!(matches!(&told, TargetError::Blocked(why) if why.contains(&whose)), "{told}");

    let moved = bench.release_of(&bench.name, &format!("{directory}/moved"), "3", 10).await;
    bench.roll_out(&moved).await;
    bench.roll_out(&other).await;
    assert_eq!(bench.yard.page().as_deref(), Some("2"));
    bench.target.remove(&first.rendered.deployment, &place, 1).await.unwrap();
    assert_eq!(bench.yard.page().as_deref(), Some("2"), "the other deployment's site stays");
    assert!(!bench.yard.files().join("moved/current").exists(), "its own goes");
    bench.target.remove(&other.rendered.deployment, &place, 1).await.unwrap();
    assert_eq!(bench.yard.page(), None);
}

#[tokio::test]
async fn a_look_at_a_site_reads_its_files_only_where_one_was_touched() {
    let Some(bench) = Bench::new().await else { return };
    let context = bench.release("1", 10).await;
    bench.roll_out(&context).await;
    let plan = async || {
        let observed = bench.target.observe(&context.rendered, &bench.place()).await.unwrap();
        bench.target.plan(&context.rendered, &context.hash, &bench.place(), &observed).len()
    };
    bench.target.verify(&context.rendered, &context.hash, &bench.place()).await.unwrap();
    let same = bench.yard.files().join(format!("releases/.same-{}", context.hash));
    let compared = || std::fs::metadata(&same).and_then(|known| known.modified()).ok();
    let before = compared();
    assert!(before.is_some() && plan().await == 0);
    assert_eq!(compared(), before, "nothing was compared");
    let page = bench.yard.files().join("current/index.html");
    let times = std::fs::metadata(&page).unwrap().modified().unwrap();
    let forge = |text: &str| {
        std::fs::write(&page, text).unwrap();
        std::fs::File::options().write(true).open(&page).unwrap().set_modified(times).unwrap();
    };
    forge("1");
    assert_eq!(plan().await, 0, "touched, and the same");
    assert!(compared() > before);
    forge("9");
    assert_eq!(plan().await, 1, "of the same size and time, and another");
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_told_with_the_command_that_mends_it() {
    let Some(bench) = Bench::new().await else { return };
    bench.yard.root(&["chown", "root", &bench.yard.directory]);
    let context = bench.release("1", 10).await;
    let told = bench.target.bring(&context).await.unwrap_err();
    let wanted = format!("install -d -o USER -m 755 {}", bench.yard.directory);
    assert!(matches!(&told, TargetError::Blocked(why) if why.contains(&wanted)), "{told}");
    assert!(bench.places.at(&bench.place()).await.is_ok());
}
