//! The four workflows of the distribution specification's conformance suite: push is in `push.rs`.

use dhow_registry::media::{OCI_INDEX, OCI_MANIFEST};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{EMPTY_TYPE, Server, code, digest_of, header, index_of};

#[tokio::test]
async fn pull_a_manifest_by_tag_and_by_digest_with_its_type_length_and_digest() {
    let server = Server::open().await;
    let digest = server.image("a/b", "v1", "one").await;
    for reference in ["v1".to_owned(), digest.to_string()] {
        let response = server.get(&format!("a/b/manifests/{reference}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), OCI_MANIFEST);
        assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
        let length = header(&response, "content-length");
        assert_eq!(length, response.bytes().await.unwrap().len().to_string());
        let head = server.call(Method::HEAD, &format!("a/b/manifests/{reference}"), &[], "").await;
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, length));
    }
}

#[tokio::test]
async fn pull_of_what_is_not_there_is_404_with_the_specifications_code() {
    let server = Server::open().await;
    let missing = dhow_core::noun::Digest::of(b"missing");
    for (path, word) in [
        (format!("a/manifests/{missing}"), "MANIFEST_UNKNOWN"),
        ("a/manifests/v1".into(), "MANIFEST_UNKNOWN"),
        (format!("a/blobs/{missing}"), "BLOB_UNKNOWN"),
        ("a/tags/list".into(), "NAME_UNKNOWN"),
    ] {
        assert_eq!(server.status(Method::HEAD, &path).await, 404);
        let response = server.get(&path).await;
        assert_eq!(response.status(), 404);
        assert_eq!(code(response).await, word, "{path}");
    }
    assert_eq!(code(server.get("a/manifests/sha256:baddigest").await).await, "DIGEST_INVALID");
    assert_eq!(code(server.get("UPPER/tags/list").await).await, "NAME_INVALID");
    assert_eq!(server.status(Method::POST, "a/tags/list").await, 405);
}

#[tokio::test]
async fn pull_a_blob_whole_and_in_ranges() {
    let server = Server::open().await;
    let digest = server.blob("a", b"0123456789").await;
    let path = format!("a/blobs/{digest}");
    let whole = server.get(&path).await;
    assert_eq!(header(&whole, "content-type"), "application/octet-stream");
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");
    for (range, content_range, body) in [
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=-2", "bytes 8-9/10", "89"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
    ] {
        let part = server.call(Method::GET, &path, &[("range", range)], "").await;
        assert_eq!(part.status(), 206);
        assert_eq!(header(&part, "content-range"), content_range);
        assert_eq!(part.text().await.unwrap(), body);
    }
    let past = server.call(Method::GET, &path, &[("range", "bytes=10-20")], "").await;
    assert_eq!((past.status().as_u16(), header(&past, "content-range")), (416, "bytes */10".into()));
}

#[tokio::test]
async fn discovery_lists_tags_in_order_and_in_pages() {
    let server = Server::open().await;
    for tag in ["b", "a", "C", "d"] {
        server.image("a/b", tag, "same").await;
    }
    let tags = async |query: &str| {
        let response = server.get(&format!("a/b/tags/list{query}")).await;
        let link = header(&response, "link");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["name"], "a/b");
        (body["tags"].clone(), link)
    };
    assert_eq!(tags("").await, (json!(["C", "a", "b", "d"]), String::new()));
    let link = "</v2/a/b/tags/list?n=2&last=a>; rel=\"next\"".to_owned();
    assert_eq!(tags("?n=2").await, (json!(["C", "a"]), link));
    assert_eq!(tags("?n=2&last=a").await, (json!(["b", "d"]), String::new()));
    assert_eq!(tags("?last=aa").await, (json!(["b", "d"]), String::new()));
    assert_eq!(tags("?n=0").await, (json!([]), String::new()));
    assert_eq!(server.status(Method::GET, "a/b/tags/list?n=x").await, 400);
}

#[tokio::test]
async fn discovery_lists_referrers_and_filters_them_by_type() {
    let server = Server::open().await;
    let subject = server.image("a", "v1", "one").await;
    server.blob("a", b"{}").await;
    let artifact = |kind: &str| {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
            "config": {"mediaType": EMPTY_TYPE, "digest": dhow_core::noun::Digest::of(b"{}"), "size": 2}, "layers": [],
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}, "annotations": {"k": kind},
        })
    };
    for kind in ["sbom", "signature"] {
        let manifest = artifact(kind);
        let response = server.put("a", &digest_of(&manifest).to_string(), OCI_MANIFEST, &manifest).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "oci-subject")),
            (201, subject.to_string())
        );
    }
    let response = server.get(&format!("a/referrers/{subject}")).await;
    assert_eq!(header(&response, "content-type"), OCI_INDEX);
    let all: Value = response.json().await.unwrap();
    assert_eq!((all["mediaType"].as_str(), all["manifests"].as_array().unwrap().len()), (Some(OCI_INDEX), 2));
    let response = server.get(&format!("a/referrers/{subject}?artifactType=sbom")).await;
    assert_eq!(header(&response, "oci-filters-applied"), "artifactType");
    let some: Value = response.json().await.unwrap();
    assert_eq!(some["manifests"].as_array().unwrap().len(), 1);
    let one = &some["manifests"][0];
    assert_eq!(
        (one["artifactType"].as_str(), one["annotations"]["k"].as_str()),
        (Some("sbom"), Some("sbom"))
    );
    assert_eq!(one["digest"], digest_of(&artifact("sbom")).to_string());

    let gone = digest_of(&artifact("sbom"));
    assert_eq!(server.status(Method::DELETE, &format!("a/manifests/{gone}")).await, 202);
    let left: Value = server.get(&format!("a/referrers/{subject}")).await.json().await.unwrap();
    assert_eq!(left["manifests"].as_array().unwrap().len(), 1);
    let none = server.get(&format!("a/referrers/{gone}")).await;
    assert_eq!(none.status(), 200, "the list of an unknown subject is empty, not an error");
    assert_eq!(none.json::<Value>().await.unwrap()["manifests"], json!([]));
}

#[tokio::test]
async fn management_deletes_tags_manifests_and_blobs() {
    let server = Server::open().await;
    let digest = server.image("a", "v1", "one").await;
    server.image("a", "v2", "one").await;
    let layer = dhow_core::noun::Digest::of(b"layer one");
    assert_eq!(server.status(Method::DELETE, "a/manifests/v1").await, 202);
    assert_eq!(server.status(Method::GET, "a/manifests/v1").await, 404);
    assert_eq!(server.status(Method::GET, "a/manifests/v2").await, 200, "the other tag stays");
    assert_eq!(server.status(Method::DELETE, &format!("a/manifests/{digest}")).await, 202);
    assert_eq!(server.status(Method::GET, "a/manifests/v2").await, 404, "its tags go with a manifest");
    assert_eq!(server.status(Method::GET, &format!("a/manifests/{digest}")).await, 404);
    assert_eq!(server.status(Method::DELETE, &format!("a/blobs/{layer}")).await, 202);
    assert_eq!(server.status(Method::GET, &format!("a/blobs/{layer}")).await, 404);
    assert_eq!(server.status(Method::DELETE, &format!("a/blobs/{layer}")).await, 404);
    assert_eq!(server.status(Method::DELETE, "a/manifests/v1").await, 404);
}

#[tokio::test]
async fn what_is_in_use_is_not_deleted_and_the_answer_says_why() {
    let server = Server::open().await;
    let manifest = server.image_parts("a", "one").await;
    let child = server.image("a", "child", "one").await;
    let index = index_of(&[(child, manifest.to_string().len())]);
    assert_eq!(server.put("a", "v1", OCI_INDEX, &index).await.status(), 201);
    server.uses.add(digest_of(&index), "pinned by shop in production");
    let layer = dhow_core::noun::Digest::of(b"layer one");
    for path in [
        "a/manifests/v1".to_owned(),
        format!("a/manifests/{}", digest_of(&index)),
        format!("a/manifests/{child}"),
        format!("a/blobs/{layer}"),
    ] {
        let response = server.call(Method::DELETE, &path, &[], "").await;
        assert_eq!(response.status(), 409, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains("pinned by shop in production"), "{path}: {text}");
        assert_eq!(server.status(Method::GET, &path).await, 200);
    }
    server.uses.fail();
    assert_eq!(server.status(Method::DELETE, "a/manifests/v1").await, 503, "unknown use counts as use");
}
