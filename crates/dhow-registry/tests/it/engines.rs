//! Real clients against the embedded registry. They run where they are installed; with `DHOW_REQUIRE_ENGINES=1` a
//! missing one fails the test.

use std::path::Path;
use std::process::Stdio;

use dhow_registry::client::{Client, ErrorKind};
use reqwest::Method;
use tokio::io::AsyncBufReadExt as _;
use tokio::process::Command;

use crate::support::{Server, TOKEN, settings};

/// Whether the program can be run; says why a test is not.
async fn available(program: &str, install: &str) -> bool {
    let found = Command::new(program)
        .arg(if program == "openssl" { "version" } else { "--version" })
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var("DHOW_REQUIRE_ENGINES").is_ok_and(|value| value == "1");
    assert!(!required, "{program} is not installed and DHOW_REQUIRE_ENGINES=1; {install}");
    eprintln!("not run: {program} is not installed; {install}");
    false
}

async fn skopeo(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).output().await.unwrap();
    (
        output.status.success(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

/// An OCI layout with one image of one small layer.
async fn layout(folder: &Path) {
    let server = Server::open().await;
    server.image("seed", "v1", "one").await;
    let from = format!("docker://{}/seed:v1", server.address);
    let to = format!("oci:{}:v1", folder.display());
    let (done, text) = skopeo(&["copy", "--src-tls-verify=false", &from, &to]).await;
    assert!(done, "{text}");
}

#[tokio::test]
async fn skopeo_copies_to_and_from_it_without_a_token_and_with_one() {
    if !available("skopeo", "apt-get install skopeo").await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    layout(&source).await;
    let from = format!("oci:{}:v1", source.display());
    for guarded in [false, true] {
        let server = if guarded { Server::guarded().await } else { Server::open().await };
        let there = format!("docker://{}/shop/web:v1", server.address);
        let back = format!("dir:{}", folder.path().join(format!("back-{guarded}")).display());
        let credentials = format!("anyone:{TOKEN}");
        if guarded {
            let (done, text) = skopeo(&["copy", "--dest-tls-verify=false", &from, &there]).await;
            assert!(!done && text.contains("401") || text.contains("unauthorized"), "{text}");
        }
        let (dest, src): (&[&str], &[&str]) = if guarded {
            (&["--dest-creds", &credentials], &["--src-creds", &credentials])
        } else {
            (&[], &[])
        };
        let push = [&["copy", "--dest-tls-verify=false"], dest, &[&from, &there]].concat();
        let (done, text) = skopeo(&push).await;
        assert!(done, "{text}");
        let pull = [&["copy", "--src-tls-verify=false"], src, &[&there, &back]].concat();
        let (done, text) = skopeo(&pull).await;
        assert!(done, "{text}");
        assert_eq!(server.heard.0.lock().unwrap().len(), 1, "the tag was told");
    }
}

#[tokio::test]
async fn skopeo_sees_tags_and_deletes() {
    if !available("skopeo", "apt-get install skopeo").await {
        return;
    }
    let server = Server::open().await;
    server.image("shop/web", "v1", "one").await;
    let repository = format!("docker://{}/shop/web", server.address);
    let (done, text) = skopeo(&["list-tags", "--tls-verify=false", &repository]).await;
    assert!(done && text.contains("\"v1\""), "{text}");
    let (done, text) = skopeo(&["delete", "--tls-verify=false", &format!("{repository}:v1")]).await;
    assert!(done, "{text}");
    assert_eq!(server.status(Method::GET, "shop/web/manifests/v1").await, 404);
}

/// The official suite, where `DHOW_OCI_CONFORMANCE` names its binary.
#[tokio::test]
async fn the_official_conformance_suite_passes() {
    let Ok(binary) = std::env::var("DHOW_OCI_CONFORMANCE") else {
        eprintln!("not run: DHOW_OCI_CONFORMANCE does not name the suite's binary");
        return;
    };
    let server = Server::guarded().await;
    let results = tempfile::tempdir().unwrap();
    let output = Command::new(binary)
        .current_dir(results.path())
        .env("OCI_REGISTRY", &server.address)
        .env("OCI_TLS", "disabled")
        .env("OCI_USERNAME", "anyone")
        .env("OCI_PASSWORD", TOKEN)
        .env("OCI_VERSION", "1.1")
        .env("OCI_DATA_SHA512", "false")
        .env("OCI_API_BLOBS_UPLOAD_CANCEL", "true")
        .env("OCI_API_BLOBS_DIGEST_HEADER", "true")
        .env("OCI_API_MANIFESTS_DIGEST_HEADER", "true")
        .output()
        .await
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(output.status.success(), "{text}");
}

async fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_private_ca_vouches_for_its_registry_and_without_it_there_is_no_trust() {
    if !available("openssl", "apt-get install openssl").await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("v2/a/tags/list?n=1000");
    std::fs::create_dir_all(page.parent().unwrap()).unwrap();
    std::fs::write(page, r#"{"tags":["v1"]}"#).unwrap();
    let authority =
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority";
    let leaf = "req -x509 -CA ca.pem -CAkey ca.key -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 \
                -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                -addext basicConstraints=critical,CA:FALSE";
    openssl(folder.path(), authority).await;
    openssl(folder.path(), leaf).await;
    let serve = "s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -WWW";
    let mut server = Command::new("openssl")
        .args(serve.split_whitespace())
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::BufReader::new(server.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.to_owned();
        }
    };
    let repository = format!("{address}/a").parse().unwrap();
    let mut settings = settings(&address, None);
    settings.hosts.get_mut(&address).unwrap().ca = Some(std::fs::read(folder.path().join("ca.pem")).unwrap());
    let tags = Client::new(settings.clone()).tags(&repository).await.unwrap();
    assert_eq!(tags[0].as_str(), "v1");

    openssl(folder.path(), authority).await;
    settings.hosts.get_mut(&address).unwrap().ca = Some(std::fs::read(folder.path().join("ca.pem")).unwrap());
    let error = Client::new(settings).tags(&repository).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)), "{error}");
}
