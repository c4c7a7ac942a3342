//! What is refused, and what goes on all the same.

use std::sync::Arc;

use dhow_core::fleet::DeploymentSettings;
use dhow_core::port::{
    CheckAddress, Context, Front, Observed, Place, Rendered, SourceError, Target, TargetError,
};
use dhow_testkit::SourceCall;

use crate::fixture::{archive, file, id};

use super::bench::Bench;

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
