//! What is served, for whom, and how it is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dhow_core::fleet::{DeploymentSettings, MemoryTree, Probe, Route};
use dhow_core::noun::Digest;
use dhow_core::port::{CheckAddress, Context, Front, Phase, Place, RenderInput, Target, TargetError};
use tokio::net::UnixStream;

use crate::fixture::{archive, file, hash, id};
use crate::http::{HOST, exchange, get, request};

use super::bench::{Bench, FOLDER, deployment, hosts};

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
