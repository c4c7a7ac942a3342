//! The examples of the targets' pages, run as they stand.

use std::net::{Ipv4Addr, SocketAddr};

use dhow_testkit::free_port;

use super::support::{Yard, get};

/// The files of a page: fenced blocks that begin with `# path`.
fn files(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("```").skip(1).step_by(2);
    let named = blocks.filter_map(|block| {
        let (_, body) = block.split_once('\n')?;
        let path = body.lines().next()?.strip_prefix("# ")?;
        Some((path.to_owned(), body.to_owned()))
    });
    named.collect()
}

#[tokio::test]
async fn the_example_of_compose_is_deployed_as_it_stands() {
    let Some(yard) = Yard::here().await else { return };
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST)));
    let ours = |text: &str| {
        let text = text.replace("registry.acme.dev/shop", &format!("{}/{}", yard.registry, yard.name));
        let text = text.replace("\"127.0.0.1:8000:", &format!("\"{at}:"));
        text.replace("services/shop/", &format!("services/{}/", yard.name))
    };
    let page = include_str!("../../../../../docs/targets/compose.md");
    let files: Vec<(String, String)> =
        files(page).iter().map(|(path, text)| (ours(path), ours(text))).collect();
    assert_eq!(files.len(), 5);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    yard.fleet.push("the example", &files).await;
    let serve = yard.serve().start().await;
    yard.push(&serve, yard.version("1.0.0"), "1.0.0").await;
    serve.reaches(&yard.name, "stage", "1.0.0").await;
    assert_eq!(get(at, "/version").await.trim(), "1.0.0");
    yard.push(&serve, yard.version("1.1.0"), "1.1.0").await;
    serve.reaches(&yard.name, "stage", "1.1.0").await;
    assert_eq!(get(at, "/version").await.trim(), "1.1.0");
    let mounts = yard
        .docker(&["inspect", "--format", "{{json .Mounts}}", &format!("stage_{}-web-1", yard.name)])
        .await;
    assert!(mounts.contains("/content/") && mounts.contains("/data/"), "{mounts}");
}
