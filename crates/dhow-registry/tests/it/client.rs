//! The client against the embedded registry, and against bad ones.

use std::time::Duration;

use bytes::Bytes;
use dhow_core::noun::{Digest, ImageReference, SourceLabels, Tag};
use dhow_registry::client::{BlobSource, Client, Credentials, ErrorKind};
use dhow_registry::media::{Descriptor, OCI_INDEX, OCI_MANIFEST};
use serde_json::json;

use crate::fake::{Fake, reply};
use crate::support::{Server, TOKEN, client, digest_of, index_of, settings};

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

#[tokio::test]
async fn tags_digests_and_labels_are_read_with_a_token() {
    let mut server = Server::guarded().await;
    server.token = Some(TOKEN);
    let digest = server.image("shop/web", "v1", "one").await;
    server.image("shop/web", "v2", "two").await;
    let (client, repository) = (server.client(), server.repository("shop/web"));
    assert_eq!(client.tags(&repository).await.unwrap(), [tag("v1"), tag("v2")]);
    assert_eq!(client.digest_of(&repository, &tag("v1")).await.unwrap(), digest);
    let version = client.version(&repository, &tag("v1")).await.unwrap();
    assert_eq!((version.digest, version.labels.revision.as_deref()), (digest, Some("one")));
    assert_eq!(version.also.len(), 1, "the configuration's digest");
    let wrong = crate::support::client(&server.address, Some("wrong"));
    assert!(matches!(wrong.tags(&repository).await.unwrap_err().kind, ErrorKind::Unauthorized(_)));
    let none = crate::support::client(&server.address, None);
    let error = none.tags(&repository).await.unwrap_err();
    assert!(error.to_string().contains("docker login"), "{error}");
    assert!(matches!(
        client.tags(&server.repository("no/such")).await.unwrap_err().kind,
        ErrorKind::NotFound
    ));
}

#[tokio::test]
async fn an_index_gives_its_platforms_and_their_configurations() {
    let server = Server::open().await;
    let manifest = server.image_parts("a", "one").await;
    let child = server.image("a", "child", "one").await;
    let mut index = index_of(&[(child, manifest.to_string().len())]);
    let attestation = server.image("a", "attestation", "other").await;
    index["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": OCI_MANIFEST, "digest": attestation, "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"},
    }));
    index["annotations"] = json!({"org.opencontainers.image.source": "https://git/a"});
    assert_eq!(server.put("a", "v1", OCI_INDEX, &index).await.status(), 201);
    let version = server.client().version(&server.repository("a"), &tag("v1")).await.unwrap();
    let config: Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!((version.digest, version.also), (digest_of(&index), vec![child, config]));
    let labels = SourceLabels {
        source: Some("https://git/a".into()),
        revision: Some("one".into()),
        ..Default::default()
    };
    assert_eq!(version.labels, labels);
}

#[tokio::test]
async fn an_artifact_without_labels_has_empty_ones() {
    let server = Server::open().await;
    let empty = server.blob("a", b"{}").await;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "x/y",
        "config": {"mediaType": crate::support::EMPTY_TYPE, "digest": empty, "size": 2}, "layers": [],
    });
    assert_eq!(server.put("a", "v1", OCI_MANIFEST, &manifest).await.status(), 201);
    let version = server.client().version(&server.repository("a"), &tag("v1")).await.unwrap();
    assert_eq!((version.labels, version.also), (SourceLabels::default(), vec![]));
}

#[tokio::test]
async fn a_big_blob_goes_up_in_chunks_and_twice_is_once() {
    let server = Server::open().await;
    let mut settings = settings(&server.address, None);
    settings.chunk = 1000;
    let client = Client::new(settings);
    let bytes: Vec<u8> = (0..4321_u32).map(|n| n as u8).collect();
    let (digest, repository) = (Digest::of(&bytes), server.repository("a"));
    let source = BlobSource::Bytes(Bytes::from(bytes.clone()));
    client.push_blob(&repository, &digest, &source).await.unwrap();
    client.push_blob(&repository, &digest, &source).await.unwrap();
    assert!(client.has_blob(&repository, &digest).await.unwrap());
    let wanted = Descriptor::new("x", digest, bytes.len() as u64);
    assert_eq!(client.blob(&repository, &wanted).await.unwrap().read_all(5000).await.unwrap(), bytes);
    assert_eq!(server.files("uploads"), 0);
}

#[tokio::test]
async fn all_pages_of_tags_are_read_by_link_and_without() {
    let linked = Fake::answering(|seen| match seen.path.contains("cursor=2") {
        true => reply(200, &[], r#"{"tags":["c"]}"#),
        false => reply(
            200,
            &[("link", "</v2/a/tags/list?cursor=2>; rel=\"next\"")],
            r#"{"tags":["a","b","not a tag"]}"#,
        ),
    })
    .await;
    assert_eq!(client(&linked.address, None).tags(&linked.repository("a")).await.unwrap().len(), 3);

    let capped = Fake::answering(|seen| {
        let range = if seen.path.contains("last=t199") {
            200..210
        } else if seen.path.contains("last=t149") {
            150..200
        } else {
            100..150
        };
        let tags: Vec<String> = range.map(|n| format!("t{n}")).collect();
        reply(200, &[], json!({ "tags": tags }).to_string())
    })
    .await;
    assert_eq!(client(&capped.address, None).tags(&capped.repository("a")).await.unwrap().len(), 110);

    let elsewhere =
        Fake::answering(|_| reply(200, &[("link", "<http://127.0.0.1:1/x>; rel=next")], r#"{"tags":["a"]}"#))
            .await;
    let error = client(&elsewhere.address, None).tags(&elsewhere.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Forbidden(_)), "{error}");
}

#[tokio::test]
async fn retry_after_is_waited_for_when_short_and_told_when_long() {
    let short = Fake::answering(|seen| match seen.number {
        0 => reply(429, &[("retry-after", "0")], ""),
        1 => reply(503, &[("retry-after", "0")], ""),
        _ => reply(200, &[], r#"{"tags":["a"]}"#),
    })
    .await;
    assert_eq!(client(&short.address, None).tags(&short.repository("a")).await.unwrap().len(), 1);

    let long = Fake::answering(|_| reply(429, &[("retry-after", "3600")], "")).await;
    let client = client(&long.address, None);
    for _ in 0..2 {
        let error = client.tags(&long.repository("a")).await.unwrap_err();
        let ErrorKind::RateLimited { retry_after } = error.kind else { panic!("{error}") };
        assert!(retry_after > Duration::from_secs(3500));
    }
    assert_eq!(long.seen().len(), 1, "a registry that asked to be left alone is not called");

    let forever = Fake::answering(|_| reply(429, &[("retry-after", "0")], "")).await;
    let error =
        crate::support::client(&forever.address, None).tags(&forever.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::RateLimited { .. }));
    assert!(forever.seen().len() < 10);
}

#[tokio::test]
async fn a_web_page_is_told_to_be_no_registry() {
    for status in [200, 404] {
        let page = Fake::answering(move |_| {
            reply(status, &[("content-type", "text/html; charset=utf-8")], "<html>")
        })
        .await;
        let (client, repository) = (client(&page.address, None), page.repository("a"));
        for error in [
            client.tags(&repository).await.unwrap_err(),
            client.digest_of(&repository, &tag("v1")).await.unwrap_err(),
            client.version(&repository, &tag("v1")).await.unwrap_err(),
        ] {
            assert!(matches!(error.kind, ErrorKind::NotARegistry(_)), "{error}");
            assert!(error.to_string().contains(&page.address), "{error}");
        }
    }
    let text = Fake::answering(|_| reply(200, &[], "welcome")).await;
    let error = client(&text.address, None).tags(&text.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotARegistry(_)), "{error}");
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_is_refused() {
    let liar = Fake::answering(|_| reply(200, &[], "not it")).await;
    let (client, repository) = (client(&liar.address, None), liar.repository("a"));
    let wanted = Descriptor::new("x", Digest::of(b"really"), 6);
    let error = client.blob(&repository, &wanted).await.unwrap().read_all(100).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::WrongDigest { .. }), "{error}");
    let small = Descriptor::new("x", Digest::of(b"x"), 1);
    let error = client.blob(&repository, &small).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TooLarge { limit: 1 }), "{error}");
    let reference = ImageReference { repository, tag: None, digest: Some(Digest::of(b"y")) };
    let error = client.manifest(&reference).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_above_the_limit_is_not_read() {
    let huge = Fake::answering(|_| reply(200, &[], vec![b' '; (4 << 20) + 1])).await;
    let error = client(&huge.address, None).version(&huge.repository("a"), &tag("v1")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_is_followed_without_the_authorization() {
    let storage = Fake::answering(|_| reply(200, &[], "content")).await;
    let to = format!("http://{}/elsewhere", storage.address);
    let registry = Fake::answering(move |seen| match &seen.authorization {
        None => reply(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
        Some(_) => reply(307, &[("location", &to)], ""),
    })
    .await;
    let client = client(&registry.address, Some("secret"));
    let wanted = Descriptor::new("x", Digest::of(b"content"), 7);
    let bytes = client.blob(&registry.repository("a"), &wanted).await.unwrap().read_all(10).await.unwrap();
    assert_eq!(bytes, "content");
    assert_eq!(storage.seen().len(), 1);
    assert!(storage.seen()[0].authorization.is_none());
    assert!(registry.seen()[1].authorization.is_some());
}

#[tokio::test]
async fn a_redirect_to_an_unencrypted_stranger_is_not_followed() {
    let registry = Fake::answering(|_| reply(302, &[("location", "http://storage.acme.dev/x")], "")).await;
    let error = client(&registry.address, None).tags(&registry.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Forbidden(_)), "{error}");
    let circle = Fake::answering(|seen| reply(302, &[("location", &seen.path)], "")).await;
    let error = client(&circle.address, None).tags(&circle.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Invalid(_)), "{error}");
}

#[tokio::test]
async fn a_token_is_fetched_once_for_a_scope_and_used() {
    let service = Fake::answering(|_| reply(200, &[], r#"{"token":"t0k","expires_in":300}"#)).await;
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"reg\"", service.address);
    let registry = Fake::answering(move |seen| match seen.authorization.as_deref() {
        Some("Bearer t0k") => reply(200, &[], r#"{"tags":["a"]}"#),
        _ => reply(401, &[("www-authenticate", &realm)], ""),
    })
    .await;
    let credentials = Credentials::Basic { user: "u".into(), password: "p".to_owned().into() };
    let client = Client::new(settings(&registry.address, Some(credentials)));
    for _ in 0..2 {
        assert_eq!(client.tags(&registry.repository("shop/web")).await.unwrap().len(), 1);
    }
    let asked = service.seen();
    assert_eq!((asked.len(), asked[0].method.as_str()), (1, "GET"));
    assert_eq!(asked[0].path, "/token?service=reg&scope=repository%3Ashop%2Fweb%3Apull");
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic dTpw"));
    assert_eq!(registry.seen().len(), 3);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unreachable_and_the_message_says_which() {
    let error = client("127.0.0.1:1", None).tags(&"127.0.0.1:1/a".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable(_)) && error.is_transient(), "{error}");
    assert!(error.to_string().starts_with("registry 127.0.0.1:1: tags of a: no answer"), "{error}");
}

#[tokio::test]
async fn no_more_than_ten_calls_run_at_once() {
    let server = Server::open().await;
    let digest = server.blob("a", &vec![7; 4 << 20]).await;
    let (client, repository) = (server.client(), server.repository("a"));
    let wanted = Descriptor::new("x", digest, 4 << 20);
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(client.blob(&repository, &wanted).await.unwrap());
    }
    let eleventh = client.has_blob(&repository, &digest);
    tokio::pin!(eleventh);
    assert!(futures::poll!(&mut eleventh).is_pending());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut eleventh).await.is_err());
    streams.pop();
    assert!(eleventh.await.unwrap());
}

#[tokio::test]
async fn a_chunk_that_was_cut_goes_on_where_the_registry_says() {
    let registry = Fake::answering(|seen| match (seen.method.as_str(), seen.number) {
        ("HEAD", _) => reply(404, &[], ""),
        ("POST", _) => reply(202, &[("location", "/up")], ""),
        ("PATCH", 3) => reply(500, &[], ""),
        ("PATCH", _) => reply(202, &[("location", "/up")], ""),
        ("GET", _) => reply(204, &[("location", "/up"), ("range", "0-14")], ""),
        _ => reply(201, &[], ""),
    })
    .await;
    let mut settings = settings(&registry.address, None);
    settings.chunk = 10;
    let bytes = Bytes::from(vec![1; 25]);
    let source = BlobSource::Bytes(bytes.clone());
    Client::new(settings).push_blob(&registry.repository("a"), &Digest::of(&bytes), &source).await.unwrap();
    let ranges: Vec<String> = registry.seen().into_iter().filter_map(|seen| seen.content_range).collect();
    assert_eq!(ranges, ["0-9", "10-19", "15-19", "20-24"]);
}
