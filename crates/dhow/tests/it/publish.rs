//! From a push to a deployment and back, with the commands that people type.

use crate::support::{Fleet, SHOP, Serve, broken_site, site};

async fn page(serve: &Serve) -> String {
    serve.page("shop.stage.localhost", "/").await.1
}

#[tokio::test]
async fn stage_follows_a_publish_by_itself_and_the_commands_tell_it() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let plan = serve.until("plan/shop/stage", |p| p["plans"].is_array()).await;
    assert!(plan.to_string().contains("no version of web is set yet"), "{plan:#}");
    let published = serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    assert!(
        published.stdout.starts_with(&format!("{}/shop/web:1.0.0@sha256:", serve.api)),
        "{}",
        published.stdout
    );
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(page(&serve).await, "<h1>one</h1>\n");
    let digest = published.stdout.trim().split_once('@').unwrap().1.to_owned();
    let pinned = fleet.read("services/shop/static_file/stage/dhow.yaml").await;
    assert_eq!(pinned, format!("bundle: dhow.test/shop/web:1.0.0@{digest}\n"));

    let status = serve.dhow(&["status"]).await.ok();
    let lines: Vec<_> = status.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", status.stdout);
    for word in ["shop", "static_file", "stage", "succeeded", "healthy", "web 1.0.0"] {
        assert!(lines[1].contains(word), "{word}: {}", status.stdout);
    }
    assert_eq!(status.stderr, "");
    let row = &serve.dhow(&["status", "--output", "json"]).await.ok().json()["deployments"][0];
    assert_eq!(row["running"][0]["digest"], digest.as_str());
    assert_eq!((&row["phase"], &row["health"]), (&"succeeded".into(), &"healthy".into()));

    let plan = serve.dhow(&["plan", "shop", "stage"]).await.ok();
    assert_eq!(plan.stdout, "shop/static_file/stage\n  nothing to do\n");
    let history = serve.dhow(&["history", "shop", "stage"]).await.ok().stdout;
    for word in ["update_selected", "rollout_queued", "to=checking", "to=switching", "to=succeeded"] {
        assert!(history.contains(word), "{word}: {history}");
    }
    let all = serve.dhow(&["history"]).await.ok().stdout;
    for word in ["fleet_moved", "version_seen", "commit_done"] {
        assert!(all.contains(word), "{word}: {all}");
    }
    let unknown = serve.dhow(&["plan", "shop", "moon"]).await;
    unknown.refused(&["the fleet has no shop in moon"]);
}

#[tokio::test]
async fn a_bad_version_never_goes_live_is_told_quarantined_and_taken_back_in_git() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    serve.publish(&broken_site("two"), "shop/web:2.0.0").await.ok();
    let waited = serve.dhow(&["wait", "shop", "stage", "--version", "2.0.0"]).await;
    waited.refused(&["2.0.0"]);
    serve.until("status", |s| s["deployments"][0]["desired"][0]["tag"] == "1.0.0").await;
    assert_eq!(page(&serve).await, "<h1>one</h1>\n");
    let status = serve.dhow(&["status"]).await.ok();
    for word in ["before it went live", "http://shop.stage.localhost/health", "no tables"] {
        assert!(status.stderr.contains(word), "{word}: {}", status.stderr);
    }
    let list = serve.dhow(&["quarantine", "list"]).await.ok();
    assert!(list.stdout.contains("dhow.test/shop/web:2.0.0"), "{}", list.stdout);
    let subjects = fleet.log().await;
    assert!(subjects[0].contains("web 1.0.0 (rolled back"), "{subjects:?}");
    serve.publish(&site("three"), "shop/web:3.0.0").await.ok();
    serve.reaches("shop", "stage", "3.0.0").await;
}

#[tokio::test]
async fn a_rollback_holds_what_was_left_until_something_newer_comes_or_it_is_resumed() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    for version in ["1.0.0", "2.0.0"] {
        serve.publish(&site(version), &format!("shop/web:{version}")).await.ok();
        serve.reaches("shop", "stage", version).await;
    }
    serve
        .dhow(&["rollback", "shop", "stage", "--to", "7.0.0"])
        .await
        .refused(&["no such release", "web 1.0.0"]);
    let said = serve.dhow(&["rollback", "shop", "stage", "--to", "1.0.0"]).await.ok();
    assert!(said.stdout.contains("web 1.0.0"), "{}", said.stdout);
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(page(&serve).await, "<h1>1.0.0</h1>\n");
    let pinned = fleet.read("services/shop/static_file/stage/dhow.yaml").await;
    assert!(pinned.contains("web:1.0.0@"), "{pinned}");

    // Neither what was left nor what is older than it is taken; what is newer is, and lifts the hold.
    serve.publish(&site("1.5.0"), "shop/web:1.5.0").await.ok();
    serve.publish(&site("3.0.0"), "shop/web:3.0.0").await.ok();
    serve.reaches("shop", "stage", "3.0.0").await;
    let selected = serve.events("update_selected").await;
    let tags: Vec<_> = selected.iter().filter_map(|e| e["pins"]["web"]["tag"].as_str()).collect();
    assert_eq!(tags, ["1.0.0", "2.0.0", "3.0.0"]);

    serve.dhow(&["resume", "shop", "stage"]).await.refused(&["nothing is held"]);
    serve.dhow(&["rollback", "shop", "stage"]).await.ok();
    serve.until("status", |s| s["deployments"][0]["running"][0]["tag"] != "3.0.0").await;
    serve.dhow(&["resume", "shop", "stage"]).await.ok();
    serve.reaches("shop", "stage", "3.0.0").await;
}

#[tokio::test]
async fn a_version_in_quarantine_is_not_selected_until_it_is_let_out() {
    let fleet = Fleet::with(&SHOP).await;
    let narrow = SHOP[0].1.replace("\"*\"", "1.x");
    fleet.push("only 1.x", &[(SHOP[0].0, &narrow)]).await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let two = "dhow.test/shop/web:2.0.0";
    let none = serve.dhow(&["quarantine", "list"]).await.ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "nothing is in quarantine\n"));
    serve.dhow(&["quarantine", "remove", "shop", "stage", two]).await.refused(&["is not quarantined"]);
    serve
        .dhow(&["quarantine", "add", "shop", "stage", "dhow.test/shop/web:9", "--reason", "x"])
        .await
        .refused(&["is not in its registry"]);
    serve.dhow(&["quarantine", "add", "shop", "stage", two, "--reason", "it leaks memory"]).await.ok();
    let list = serve.dhow(&["quarantine", "list", "shop"]).await.ok();
    for word in [two, "it leaks memory", "admin", "stage"] {
        assert!(list.stdout.contains(word), "{word}: {}", list.stdout);
    }
    fleet.push("every version", &[(SHOP[0].0, SHOP[0].1)]).await;
    serve.publish(&site("newer"), "shop/web:1.1.0").await.ok();
    serve.reaches("shop", "stage", "1.1.0").await;
    serve.dhow(&["quarantine", "remove", "shop", "stage", two]).await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
}

#[tokio::test]
async fn a_version_that_is_committed_before_it_is_pushed_is_waited_for() {
    let fleet = Fleet::with(&[SHOP[0], (SHOP[1].0, "bundle: dhow.test/shop/web:1.0.0\n")]).await;
    let serve = fleet.serve().start().await;
    serve.until("status", |s| s["deployments"][0]["waiting_for"].is_string()).await;
    let status = serve.dhow(&["status"]).await.ok();
    assert!(status.stdout.contains("dhow.test/shop/web:1.0.0 is not in its registry"), "{}", status.stdout);
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
}

#[tokio::test]
async fn a_tag_that_is_pushed_again_is_told_and_not_followed_but_under_policy_digest() {
    let follows = "artifacts:\n  web: { bundle: dhow.test/follow/web, policy: { digest: latest } }\n";
    let fleet = Fleet::with(&[
        SHOP[0],
        SHOP[1],
        ("services/follow/dhow.yaml", follows),
        ("services/follow/static_file/stage/dhow.yaml", "bundle: dhow.test/follow/web\n"),
    ])
    .await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    serve.publish(&site("another"), "shop/web:1.0.0").await.ok();
    let told = |h: &serde_json::Value| h["events"].to_string().contains("tag_moved");
    serve.until("history?limit=1000", told).await;
    assert_eq!(page(&serve).await, "<h1>one</h1>\n");
    let history = serve.dhow(&["history"]).await.ok().stdout;
    assert!(history.contains("tag_moved") && history.contains("tag=1.0.0"), "{history}");

    for text in ["first", "second"] {
        let said = serve.publish(&site(text), "follow/web:latest").await.ok();
        let digest = said.stdout.trim().split_once('@').unwrap().1.to_owned();
        let runs = |s: &serde_json::Value| {
            let row = &s["deployments"][0];
            row["phase"] == "succeeded" && row["running"][0]["digest"] == digest.as_str()
        };
        serve.until("status?service=follow", runs).await;
        assert_eq!(serve.page("follow.stage.localhost", "/").await.1, format!("<h1>{text}</h1>\n"));
    }
}

#[tokio::test]
async fn content_that_a_deployment_uses_cannot_be_deleted_and_the_reason_names_it() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let said = serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let digest = said.stdout.trim().split_once('@').unwrap().1;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v2/shop/web/manifests/{digest}", serve.api);
    let answer = http.delete(url).bearer_auth(serve.admin()).send().await.unwrap();
    assert!(answer.status().is_client_error(), "{}", answer.status());
    let text = answer.text().await.unwrap();
    assert!(text.contains("pinned by shop/static_file/stage at the fleet's head"), "{text}");
}
