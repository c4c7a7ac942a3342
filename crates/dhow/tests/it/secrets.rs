//! Secrets of the fleet go only where `serve --config` lets them.

use crate::support::process::{dhow, run};
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

#[tokio::test]
async fn a_token_is_not_shown_to_the_registry_of_another_dhow() {
    let (ours, theirs) = (Fleet::with(&SHOP).await, Fleet::with(&SHOP).await);
    let (ours, theirs) = (ours.serve().start().await, theirs.serve().start().await);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<h1>one</h1>").unwrap();
    let publish = async |url: &str, token: String| {
        let mut command = dhow(folder.path());
        command.env("DHOW_URL", url).env("DHOW_TOKEN", token).arg("publish").arg(folder.path());
        command.args(["--to", &format!("{}/shop/web:1.0.0", theirs.api)]);
        run(command).await
    };
    // Their token is right, and is shown to them only where it is said that it is theirs.
    let refused = publish(&format!("http://{}", ours.api), theirs.admin()).await;
    refused.refused(&["DHOW_TOKEN was not sent", &theirs.api, &ours.api, "unset DHOW_URL"]);
    publish(&format!("http://{}", theirs.api), theirs.admin()).await.ok();
}
