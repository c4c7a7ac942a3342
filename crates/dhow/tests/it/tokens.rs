//! Who may do what, through the whole binary.

use crate::support::process::run;
use crate::support::{Fleet, SHOP, site};

#[tokio::test]
async fn each_role_does_what_is_its_own_and_is_told_which_role_the_rest_needs() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let reader = serve.token("rita", "reader").await;
    let deployer = serve.token("dora", "deployer").await;
    let approver = serve.token("anna", "approver").await;

    for token in [&reader, &deployer, &approver] {
        for words in [&["status"][..], &["history"], &["plan", "shop", "stage"], &["quarantine", "list"]] {
            serve.dhow_as(token, words).await.ok();
        }
        serve.dhow_as(token, &["token", "list"]).await.refused(&["admin"]);
    }
    let acts: [&[&str]; 6] = [
        &["promote", "shop", "stage"],
        &["sync", "shop", "stage"],
        &["rollback", "shop", "stage"],
        &["resume", "shop", "stage"],
        &["quarantine", "add", "shop", "stage", "dhow.test/shop/web:1.0.0", "--reason", "no"],
        &["quarantine", "remove", "shop", "stage", "dhow.test/shop/web:1.0.0"],
    ];
    for words in acts {
        for (token, role) in [(&reader, "reader"), (&approver, "approver")] {
            serve.dhow_as(token, words).await.refused(&[role, "deployer or admin"]);
        }
    }
    for words in [["approve", "shop", "stage"], ["reject", "shop", "stage"]] {
        for token in [&reader, &deployer] {
            serve.dhow_as(token, &words).await.refused(&["approver or admin"]);
        }
    }
    serve.dhow_as(&deployer, &["sync", "shop", "stage"]).await.ok();
    for (token, role) in [(&reader, "reader"), (&approver, "approver")] {
        serve.publish_as(token, &site("two"), "shop/web:2.0.0").await.refused(&[role]);
    }
    serve.publish_as(&deployer, &site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
}

#[tokio::test]
async fn a_token_is_shown_once_stored_hashed_and_refused_as_soon_as_it_is_removed() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let token = serve.token("rita", "reader").await;
    let list = serve.dhow(&["token", "list"]).await.ok();
    assert!(list.stdout.contains("rita") && !list.stdout.contains(&token), "{}", list.stdout);
    for entry in std::fs::read_dir(serve.state()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(token.len()).any(|w| w == token.as_bytes()), "{}", path.display());
        }
    }
    serve.dhow(&["token", "add", "rita", "--role", "admin"]).await.refused(&["rita"]);
    serve.dhow_as(&token, &["status"]).await.ok();
    serve.dhow(&["token", "remove", "rita"]).await.ok();
    serve.dhow_as(&token, &["status"]).await.refused(&["token"]);
}

#[tokio::test]
async fn nothing_answers_without_a_token_but_the_signs_of_life() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let at = |path: &str| format!("http://{}{path}", serve.api);
    let paths = [
        "/api/v1/status",
        "/api/v1/history",
        "/api/v1/events",
        "/api/v1/tokens",
        "/v2/",
        "/v2/shop/web/tags/list",
    ];
    for path in paths {
        for request in [http.get(at(path)), http.get(at(path)).bearer_auth("dhow_wrong")] {
            assert_eq!(request.send().await.unwrap().status(), 401, "{path}");
        }
    }
    assert_eq!(http.post(at("/api/v1/sync/shop/stage")).send().await.unwrap().status(), 401);
    assert_eq!(http.get(at("/healthz")).send().await.unwrap().status(), 200);
    let mut command = crate::support::process::dhow(&fleet.home());
    command.env("DHOW_URL", at("")).arg("status");
    run(command).await.refused(&["there is no token", "DHOW_TOKEN"]);
    let mut command = crate::support::process::dhow(&fleet.home());
    command.arg("publish").arg(fleet.work()).args(["--to", &format!("{}/shop/web:1.0.0", serve.api)]);
    run(command).await.refused(&["access refused", "set DHOW_TOKEN"]);
}
