//! Fleets in every condition: without commits, force-pushed, with a work tree, unreachable.

use crate::support::process::run;
use crate::support::{Fleet, SHOP, site};

#[tokio::test]
async fn a_fleet_without_commits_is_told_and_followed_from_its_first_commit() {
    let fleet = Fleet::empty().await;
    let serve = fleet.serve().start().await;
    let told = |s: &serde_json::Value| {
        s["problems"].to_string().contains("no commit on its default branch; push a first one")
    };
    serve.until("status", told).await;
    let said = serve.dhow(&["status"]).await.ok();
    assert!(said.stderr.contains("no deployments") && said.stderr.contains("no commit"), "{}", said.stderr);
    fleet.push("the fleet begins", &SHOP).await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let status = serve.get("status").await;
    assert_eq!(status["problems"].as_array().unwrap().len(), 0, "{status:#}");
}

#[tokio::test]
async fn a_fleet_with_a_work_tree_is_refused_with_the_command_that_makes_a_bare_one() {
    let fleet = Fleet::with(&SHOP).await;
    let work = fleet.work().to_string_lossy().into_owned();
    let said = run(fleet.serve().url(&work).command()).await;
    said.refused(&["work tree", &format!("git clone --bare {work}")]);
}

#[tokio::test]
async fn a_fleet_that_is_not_there_is_told_and_found_when_it_comes() {
    let fleet = Fleet::with(&SHOP).await;
    let away = fleet.folder().join("away.git");
    std::fs::rename(fleet.bare(), &away).unwrap();
    let serve = fleet.serve().start().await;
    let told = |s: &serde_json::Value| s["problems"].to_string().contains("the fleet cannot be read");
    let status = serve.until("status", told).await;
    assert!(status["problems"].to_string().contains("fleet.git"), "{status:#}");
    std::fs::rename(&away, fleet.bare()).unwrap();
    serve.until("status", |s| s["fleet_commit"].is_string() && !told(s)).await;
}

/// A page in the fleet's own folder: needs no registry.
fn page(name: &str) -> (String, String) {
    (format!("services/{name}/static_file/stage/index.html"), format!("<h1>{name}</h1>\n"))
}

#[tokio::test]
async fn a_force_pushed_fleet_is_followed_and_told_and_its_removals_wait_for_a_person() {
    let pages = [page("one"), page("two")];
    let files: Vec<_> = pages.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files).await;
    let serve = fleet.serve().start().await;
    let healthy = |s: &serde_json::Value| {
        let rows = s["deployments"].as_array().unwrap();
        rows.len() == 2 && rows.iter().all(|d| d["health"] == "healthy")
    };
    serve.until("status", healthy).await;

    // Another history, in which both pages are gone and a third came.
    fleet.in_work(&["checkout", "--quiet", "--orphan", "other"]).await.ok();
    let (path, text) = page("three");
    fleet.write(&[(&path, &text), (&pages[0].0, ""), (&pages[1].0, "")]);
    fleet.in_work(&["add", "--all"]).await.ok();
    fleet.in_work(&["commit", "--quiet", "-m", "another history"]).await.ok();
    fleet.in_work(&["push", "--quiet", "--force", "origin", "other:main"]).await.ok();

    serve.until("status?service=three", |s| s["deployments"][0]["health"] == "healthy").await;
    let moved = serve.events("fleet_moved").await;
    assert_eq!(moved.last().unwrap()["forced"], true, "{moved:#?}");
    for name in ["one", "two"] {
        let row = serve.until("status", |s| row(s, name)["waiting_for"].is_string()).await;
        let waits = row_text(&row, name);
        assert!(waits.contains(&format!("`dhow sync {name} stage` removes this one")), "{waits}");
        assert_eq!(
            serve.page(&format!("{name}.stage.localhost"), "/").await.0,
            200,
            "it serves until confirmed"
        );
    }
    assert!(serve.dhow(&["history"]).await.ok().stdout.contains("forced=true"));
    let confirmed = serve.dhow(&["sync", "one", "stage"]).await.ok();
    assert!(confirmed.stdout.contains("1 deployment is removed"), "{}", confirmed.stdout);
    serve.until("status", |s| row(s, "one").is_null()).await;
    assert_eq!(serve.page("one.stage.localhost", "/").await.0, 404);
    assert_eq!(serve.page("two.stage.localhost", "/").await.0, 200);
}

fn row(status: &serde_json::Value, service: &str) -> serde_json::Value {
    let rows = status["deployments"].as_array().unwrap();
    rows.iter().find(|d| d["service"] == service).cloned().unwrap_or_default()
}

fn row_text(status: &serde_json::Value, service: &str) -> String {
    row(status, service)["waiting_for"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn commits_that_a_person_pushes_meanwhile_are_neither_lost_nor_merged() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let names: Vec<String> = (1..=5).map(|n| format!("note-{n}.txt")).collect();
    let publishes = async {
        for n in 1..=5 {
            serve.publish(&site(&n.to_string()), &format!("shop/web:{n}.0.0")).await.ok();
        }
    };
    let person = async {
        for name in &names {
            fleet.push(name, &[(name, "a note\n")]).await;
        }
    };
    tokio::join!(publishes, person);
    serve.reaches("shop", "stage", "5.0.0").await;
    let log = fleet.log().await;
    for name in &names {
        assert_eq!(fleet.read(name).await, "a note\n");
        assert_eq!(log.iter().filter(|subject| *subject == name).count(), 1, "{log:#?}");
    }
    assert!(!log.iter().any(|subject| subject.starts_with("Merge")), "{log:#?}");
    let pinned = fleet.read("services/shop/static_file/stage/dhow.yaml").await;
    assert!(pinned.contains("web:5.0.0@"), "{pinned}");
}
