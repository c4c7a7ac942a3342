//! Two people decide about production, each with a token of their own.

use crate::support::{Fleet, Serve, site};

/// The folder says `prod`, the gates `production`: they are one.
const FLEET: [(&str, &str); 4] = [
    (
        "dhow.yaml",
        "environments:\n  stage: { update: commit }\n  production:\n    from: stage\n    update: approval\n    approvals: \
         { needed: 2, from: [alice, bob, carol] }\npeople:\n  alice: { emails: [alice@acme.dev] }\n  bob: {}\n  carol: {}\n",
    ),
    (
        "services/shop/dhow.yaml",
        "artifacts:\n  web: { bundle: dhow.test/shop/web, policy: { semver: \"*\" } }\n",
    ),
    ("services/shop/static_file/stage/dhow.yaml", "bundle: dhow.test/shop/web\n"),
    ("services/shop/static_file/prod/dhow.yaml", "bundle: dhow.test/shop/web\n"),
];

async fn proposed(serve: &Serve, text: &str) {
    serve.until("status", |s| s["proposals"].to_string().contains(text)).await;
}

#[tokio::test]
async fn production_takes_the_digest_of_stage_after_two_people_said_yes() {
    let fleet = Fleet::with(&FLEET).await;
    let serve = fleet.serve().start().await;
    let (bob, carol, dave) = (
        serve.token("bob", "approver").await,
        serve.token("carol", "approver").await,
        serve.token("dave", "approver").await,
    );
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    proposed(&serve, "1.0.0").await;
    assert_eq!(serve.page("shop.production.localhost", "/").await.0, 404);

    let status = serve.dhow_as(&bob, &["status"]).await.ok();
    assert!(status.stderr.contains("(0 of 2): dhow approve shop production"), "{}", status.stderr);
    serve
        .dhow_as(&dave, &["approve", "shop", "prod"])
        .await
        .refused(&["dave is not among those who approve"]);
    for _ in 0..2 {
        let said = serve.dhow_as(&bob, &["approve", "shop", "prod"]).await.ok();
        assert!(said.stdout.contains("1 of 2 approvals"), "one person is one vote: {}", said.stdout);
    }
    assert_eq!(serve.page("shop.production.localhost", "/").await.0, 404);
    serve.dhow_as(&carol, &["approve", "shop", "production"]).await.ok();
    serve.reaches("shop", "prod", "1.0.0").await;
    assert_eq!(serve.page("shop.production.localhost", "/").await.1, "<h1>one</h1>\n");
    let (stage, production) = (serve.row("shop", "stage").await, serve.row("shop", "prod").await);
    assert_eq!(stage["running"][0]["digest"], production["running"][0]["digest"], "the same build");
    serve
        .dhow_as(&carol, &["approve", "shop", "production"])
        .await
        .refused(&["nothing is asked about shop in production"]);
    let plan = serve.dhow(&["plan", "shop", "prod"]).await.ok();
    assert!(plan.stdout.contains("nothing to do"), "{}", plan.stdout);
    let history = serve.dhow(&["history", "shop", "prod"]).await.ok().stdout;
    for word in ["proposal_opened", "person=bob", "person=carol", "outcome=approved", "to=succeeded"] {
        assert!(history.contains(word), "{word}: {history}");
    }
}

#[tokio::test]
async fn a_rejected_version_is_not_asked_again_and_a_newer_one_is() {
    let fleet = Fleet::with(&FLEET).await;
    let serve = fleet.serve().start().await;
    let bob = serve.token("bob", "approver").await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    proposed(&serve, "1.0.0").await;
    let said = serve.dhow_as(&bob, &["reject", "shop", "prod", "--reason", "not on a Friday"]).await.ok();
    assert!(said.stdout.contains("rejected by bob: not on a Friday"), "{}", said.stdout);
    let closed = serve.events("proposal_closed").await;
    assert!(closed[0]["outcome"].as_str().unwrap().contains("not on a Friday"), "{closed:#?}");
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    proposed(&serve, "2.0.0").await;
    let opened = serve.events("proposal_opened").await;
    assert_eq!(opened.len(), 2, "1.0.0 is asked once: {opened:#?}");
}

#[tokio::test]
async fn a_hand_made_commit_to_production_waits_and_its_author_does_not_count() {
    let fleet = Fleet::with(&FLEET).await;
    let serve = fleet.serve().start().await;
    let (alice, bob, carol) = (
        serve.token("alice", "approver").await,
        serve.token("bob", "approver").await,
        serve.token("carol", "approver").await,
    );
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    proposed(&serve, "1.0.0").await;
    for token in [&bob, &carol] {
        serve.dhow_as(token, &["approve", "shop", "prod"]).await.ok();
    }
    serve.reaches("shop", "prod", "1.0.0").await;

    fleet.in_work(&["pull", "--quiet", "--rebase", "origin", "main"]).await.ok();
    let path = "services/shop/static_file/prod/dhow.yaml";
    let text = std::fs::read_to_string(fleet.work().join(path)).unwrap() + "hosts: [shop.acme.test]\n";
    fleet.push("a host more", &[(path, &text)]).await;
    let status =
        serve.until("status?environment=prod", |s| s["deployments"][0]["waiting_for"].is_string()).await;
    assert_eq!(status["deployments"][0]["phase"], "awaiting_approval", "{status:#}");
    assert!(
        status["deployments"][0]["waiting_for"].as_str().unwrap().contains("dhow approve shop production"),
        "{status:#}"
    );
    proposed(&serve, "alice").await;
    serve.dhow_as(&alice, &["approve", "shop", "prod"]).await.refused(&["alice is an author of this change"]);
    assert_eq!(serve.page("shop.acme.test", "/").await.0, 404);
    for token in [&bob, &carol] {
        serve.dhow_as(token, &["approve", "shop", "prod"]).await.ok();
    }
    serve.until("status?environment=prod", |s| s["deployments"][0]["phase"] == "succeeded").await;
    assert_eq!(serve.page("shop.acme.test", "/").await, (200, "<h1>one</h1>\n".into()));
}
