//! Secrets of the fleet go only where `serve --config` lets them.

use crate::support::{Fleet, SHOP, site};

#[tokio::test]
async fn a_secret_that_is_not_listed_for_a_registry_is_refused_and_told_and_one_that_is_works() {
    // The private registry: another Dhow's, which wants a token.
    let other = Fleet::with(&SHOP).await;
    let private = other.serve().start().await;
    private.publish(&site("one"), "shop/web:1.0.0").await.ok();
    let token = private.token("acme", "reader").await;

    let host = private.api.clone();
    let root = format!("registries:\n  \"{host}\": {{ credentials: env:PRIVATE }}\n");
    let files: Vec<_> = SHOP.iter().map(|(path, text)| (*path, text.replace("dhow.test", &host))).collect();
    let mut files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    files.push(("dhow.yaml", &root));
    let fleet = Fleet::with(&files).await;

    let serve = fleet.serve().env("PRIVATE", &token).start().await;
    let add = format!("secrets: [{{ reference: \"env:PRIVATE\", hosts: [\"{host}\"] }}]");
    serve
        .until("status", |s| {
            s["problems"].as_array().unwrap().iter().any(|p| p.as_str().unwrap().contains(&add))
        })
        .await;
    let status = serve.dhow(&["status"]).await.ok();
    assert!(
        status.stderr.contains("no version of web can be selected for shop in stage"),
        "{}",
        status.stderr
    );
    assert!(status.stderr.contains(&add), "{}", status.stderr);
    let failed = serve.events("select_failed").await;
    assert_eq!(failed.len(), 1, "told once: {failed:#?}");
    assert!(failed[0]["reason"].as_str().unwrap().contains("env:PRIVATE"), "{failed:#?}");
    serve.kill().await;

    let listed = format!("secrets: [{{ reference: \"env:PRIVATE\", hosts: [\"{host}\"] }}]\n");
    let serve = fleet.serve().config(&listed).env("PRIVATE", &token).env("DHOW_LOG", "debug").start().await;
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(serve.page("shop.stage.localhost", "/").await.1, "<h1>one</h1>\n");
    assert!(!serve.said().contains(&token), "the secret is in the log");
    assert!(!serve.get("status").await.to_string().contains(&token));
    assert_eq!(serve.get("status").await["problems"].as_array().unwrap().len(), 0);
}
