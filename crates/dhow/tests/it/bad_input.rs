//! Bad input through the whole binary: told in words, nothing lost, and the old version keeps serving.

use std::io::Write as _;

use axum::http::header;
use axum::response::IntoResponse;
use dhow_core::noun::Digest;
use serde_json::json;

use crate::support::{Fleet, SHOP, Serve, site};

/// Something that answers every request with a page.
async fn page_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let page =
        || async { ([(header::CONTENT_TYPE, "text/html")], "<html>Please log in</html>").into_response() };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(page)).await });
    address
}

#[tokio::test]
async fn a_registry_that_answers_html_is_told_and_holds_nobody_else_up() {
    let host = page_server().await;
    let lost = SHOP[0].1.replace("dhow.test", &host);
    let pinned = format!("bundle: {host}/lost/web:1.0.0\n");
    let fleet = Fleet::with(&[
        SHOP[0],
        SHOP[1],
        ("services/lost/dhow.yaml", &lost),
        ("services/lost/static_file/stage/dhow.yaml", &format!("bundle: {host}/shop/web\n")),
        ("services/pinned/static_file/stage/dhow.yaml", &pinned),
    ])
    .await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    serve.until("status", |s| s["problems"].to_string().contains("this is no registry")).await;
    serve
        .until("status?service=pinned", |s| {
            s["deployments"][0]["reason"].to_string().contains("this is no registry")
        })
        .await;
    let said = serve.dhow(&["status"]).await.ok();
    for word in [
        "no version of web can be selected for lost in stage",
        "it answered an HTML page",
        "a proxy or a login page",
        "pinned/static_file/stage: ",
    ] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    let row = serve.row("pinned", "stage").await;
    assert!(row["waiting_for"].as_str().unwrap().ends_with("it is tried again"), "{row:#}");
    let history = serve.dhow(&["history", "lost"]).await.ok().stdout;
    assert!(history.contains("select_failed") && history.contains("this is no registry"), "{history}");
}

/// An entry of an archive: its path as it is, its kind, what it links to, and its content.
struct Entry<'a>(&'a str, tar::EntryType, &'a str, &'a [u8]);

/// An archive of entries that no packer would write.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    for Entry(path, kind, link, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    let mut encoder = builder.into_inner().unwrap();
    encoder.flush().unwrap();
    encoder.finish().unwrap()
}

/// Pushes an artifact by hand, without labels.
async fn push(serve: &Serve, tag: &str, layer: &[u8]) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (base, token) = (format!("http://{}", serve.api), serve.admin());
    let mut descriptors = Vec::new();
    let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    for (media_type, bytes) in [("application/vnd.oci.empty.v1+json", b"{}".as_slice()), (layer_type, layer)]
    {
        let digest = Digest::of(bytes);
        let uploads = format!("{base}/v2/shop/web/blobs/uploads/?digest={digest}");
        let sent = http.post(uploads).bearer_auth(&token).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(sent.status(), 201, "{}", sent.text().await.unwrap());
        descriptors.push(json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()}));
    }
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": "application/vnd.dhow.bundle.v1",
        "config": descriptors[0], "layers": [descriptors[1]],
    });
    let url = format!("{base}/v2/shop/web/manifests/{tag}");
    let request =
        http.put(url).bearer_auth(&token).header("content-type", media_type).body(manifest.to_string());
    let sent = request.send().await.unwrap();
    assert_eq!(sent.status(), 201, "{}", sent.text().await.unwrap());
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[tokio::test]
async fn bundles_that_lead_out_link_or_burst_are_refused_told_and_the_old_one_serves_on() {
    let fleet = Fleet::with(&SHOP).await;
    let serve = fleet.serve().start().await;
    let good = [Entry("index.html", FILE, "", b"<h1>no labels</h1>\n"), Entry("health", FILE, "", b"ok\n")];
    push(&serve, "1.0.0", &archive(&good)).await;
    serve.reaches("shop", "stage", "1.0.0").await;
    assert_eq!(
        serve.page("shop.stage.localhost", "/").await.1,
        "<h1>no labels</h1>\n",
        "labels are not needed"
    );

    let outside = fleet.folder().join("outside");
    let absolute = outside.display().to_string();
    let zeros = vec![0; 20 << 20];
    let bad: [(&str, Vec<Entry<'_>>, &str); 4] = [
        ("2.0.0", vec![Entry(&absolute, FILE, "", b"x")], "absolute"),
        ("3.0.0", vec![Entry("../../outside", FILE, "", b"x")], ".."),
        ("4.0.0", vec![Entry("index.html", tar::EntryType::Symlink, "/etc/passwd", b"")], "link"),
        ("5.0.0", vec![Entry("index.html", FILE, "", &zeros)], "decompression bomb"),
    ];
    for (tag, entries, word) in bad {
        push(&serve, tag, &archive(&entries)).await;
        let quarantined =
            |q: &serde_json::Value| q["quarantined"].to_string().contains(&format!("shop/web:{tag}"));
        let list = serve.until("quarantine", quarantined).await;
        let entry = list["quarantined"]
            .as_array()
            .unwrap()
            .iter()
            .find(|e| e.to_string().contains(tag))
            .unwrap()
            .clone();
        assert!(entry["reason"].as_str().unwrap().contains(word), "{word}: {entry:#}");
        serve.until("status", |s| s["deployments"][0]["desired"][0]["tag"] == "1.0.0").await;
        let status = serve.dhow(&["status"]).await.ok();
        assert!(status.stderr.contains(word), "{word}: {}", status.stderr);
        assert_eq!(serve.page("shop.stage.localhost", "/").await.1, "<h1>no labels</h1>\n", "{tag}");
    }
    assert!(!outside.exists());
    let history = serve.dhow(&["history", "shop", "stage", "-n", "1000"]).await.ok().stdout;
    assert!(history.contains("step_failed"), "{history}");
    serve.publish(&site("six"), "shop/web:6.0.0").await.ok();
    serve.reaches("shop", "stage", "6.0.0").await;
}

#[tokio::test]
async fn a_tag_of_128_characters_is_followed_and_a_longer_one_is_refused_in_words() {
    let policy = SHOP[0].1.replace("semver: \"*\"", "alphabetical: asc");
    let fleet = Fleet::with(&[(SHOP[0].0, &policy), SHOP[1]]).await;
    let serve = fleet.serve().start().await;
    let tag = "t".repeat(128);
    serve.publish(&site("long"), &format!("shop/web:{tag}")).await.ok();
    serve.reaches("shop", "stage", &tag).await;
    assert!(serve.dhow(&["status"]).await.ok().stdout.contains(&tag));
    let said = serve.publish(&site("longer"), &format!("shop/web:{tag}t")).await;
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("128"), "{}", said.stderr);
}

#[tokio::test]
async fn a_broken_file_in_the_fleet_freezes_its_service_alone_and_is_told_with_its_line() {
    let fleet =
        Fleet::with(&[SHOP[0], SHOP[1], ("services/page/static_file/stage/index.html", "<h1>before</h1>\n")])
            .await;
    let serve = fleet.serve().start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let broken = format!("{}artefacts: {{}}\n", SHOP[0].1);
    fleet
        .push(
            "a typing error",
            &[(SHOP[0].0, &broken), ("services/page/static_file/stage/index.html", "<h1>after</h1>\n")],
        )
        .await;
    let line = broken.lines().count();
    let at = format!("services/shop/dhow.yaml:{line}:1");
    serve.until("status", |s| s["problems"].to_string().contains(&at)).await;
    let status = serve.dhow(&["status"]).await.ok();
    assert!(status.stderr.contains("did you mean \"artifacts\"?"), "{}", status.stderr);
    serve.until("status?service=page", |s| s["deployments"][0]["phase"] == "succeeded").await;
    serve.until("status", |s| !s["deployments"].to_string().contains("\"verifying\"")).await;
    assert_eq!(serve.page("shop.stage.localhost", "/").await, (200, "<h1>one</h1>\n".into()));
    fleet.push("mended", &[(SHOP[0].0, SHOP[0].1)]).await;
    serve.until("status", |s| s["problems"].as_array().unwrap().is_empty()).await;
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
}
