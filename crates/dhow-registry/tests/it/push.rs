//! Pushing: whole, streamed, in chunks, cut short; mounts; what is refused.

use std::sync::Arc;

use dhow_core::noun::{Digest, Tag};
use dhow_registry::media::{OCI_INDEX, OCI_MANIFEST};
use dhow_registry::server::{Open, TagWritten};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, TOKEN, code, digest_of, header, index_of};

async fn start(server: &Server) -> String {
    let response = server.call(Method::POST, "a/blobs/uploads/", &[], "").await;
    assert_eq!(response.status(), 202);
    header(&response, "location")
}

#[tokio::test]
async fn a_blob_goes_up_in_one_request_in_two_and_as_a_stream() {
    let server = Server::open().await;
    let digest = server.blob("a", b"one request").await;
    assert_eq!(server.get(&format!("a/blobs/{digest}")).await.text().await.unwrap(), "one request");

    let digest = Digest::of(b"two requests");
    let location = start(&server).await;
    let response =
        server.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "two requests").await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "docker-content-digest")),
        (201, digest.to_string())
    );
    let location = header(&response, "location");
    assert_eq!(server.get(&location).await.text().await.unwrap(), "two requests");

    let digest = Digest::of(b"stream");
    let location = start(&server).await;
    let parts = futures::stream::iter(["str", "eam"].map(Ok::<_, std::io::Error>));
    let response = server.call(Method::PATCH, &location, &[], reqwest::Body::wrap_stream(parts)).await;
    assert_eq!((response.status().as_u16(), header(&response, "range")), (202, "0-5".into()));
    let location = header(&response, "location");
    assert_eq!(server.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "").await.status(), 201);
    assert_eq!(server.status(Method::HEAD, &format!("a/blobs/{digest}")).await, 200);
}

#[tokio::test]
async fn chunks_go_in_order_and_one_out_of_order_is_refused_with_where_to_go_on() {
    let server = Server::open().await;
    let location = start(&server).await;
    let patch = async |range: &str, body: &'static str| {
        let response = server.call(Method::PATCH, &location, &[("content-range", range)], body).await;
        (response.status().as_u16(), header(&response, "range"))
    };
    assert_eq!(patch("0-3", "0123").await, (202, "0-3".into()));
    assert_eq!(patch("8-9", "89").await, (416, "0-3".into()));
    assert_eq!(patch("0-3", "0123").await, (416, "0-3".into()));
    let state = server.get(&location).await;
    assert_eq!((state.status().as_u16(), header(&state, "range")), (204, "0-3".into()));
    let digest = Digest::of(b"01234567");
    let last = server
        .call(Method::PUT, &format!("{location}?digest={digest}"), &[("content-range", "4-7")], "4567")
        .await;
    assert_eq!(last.status(), 201);
    assert_eq!(server.get(&location).await.status(), 404, "the upload ended");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let server = Server::open().await;
    let location = start(&server).await;
    assert_eq!(
        server.call(Method::PATCH, &location, &[("content-range", "0-3")], "0123").await.status(),
        202
    );
    let server = server.restarted().await;
    assert_eq!(header(&server.get(&location).await, "range"), "0-3");
    assert_eq!(server.call(Method::PATCH, &location, &[("content-range", "4-5")], "45").await.status(), 202);
    let digest = Digest::of(b"012345");
    assert_eq!(server.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "").await.status(), 201);
    assert_eq!(server.get(&format!("a/blobs/{digest}")).await.text().await.unwrap(), "012345");
}

#[tokio::test]
async fn an_upload_cut_short_leaves_nothing_visible_and_what_came_counts() {
    let server = Server::open().await;
    let location = start(&server).await;
    let cut =
        futures::stream::iter([Ok("half"), Err(std::io::Error::other("cable"))]).then(|item| async move {
            tokio::task::yield_now().await;
            item
        });
    let url = format!("http://{}{location}", server.address);
    assert!(server.http.patch(&url).body(reqwest::Body::wrap_stream(cut)).send().await.is_err());
    assert_eq!(server.status(Method::HEAD, &format!("a/blobs/{}", Digest::of(b"half"))).await, 404);
    assert_eq!((server.files("blobs"), server.files("repositories")), (0, 0));
    // The server may still be noticing; until then the upload is held.
    loop {
        let state = server.get(&location).await;
        if state.status() == 204 {
            assert!(["0-0", "0-3"].contains(&header(&state, "range").as_str()));
            break;
        }
        assert_eq!(state.status(), 409);
        tokio::task::yield_now().await;
    }
    assert_eq!(server.status(Method::DELETE, &location).await, 204);
    assert_eq!(server.status(Method::GET, &location).await, 404);
    assert_eq!(server.files("uploads"), 0);
}

#[tokio::test]
async fn content_with_another_digest_is_refused_and_thrown_away() {
    let server = Server::open().await;
    let wrong = Digest::of(b"other");
    let response =
        server.call(Method::POST, &format!("a/blobs/uploads/?digest={wrong}"), &[], "content").await;
    assert_eq!(response.status(), 400);
    assert_eq!(code(response).await, "DIGEST_INVALID");
    assert_eq!((server.files("blobs"), server.files("uploads")), (0, 0));
    let manifest = server.image_parts("a", "x").await;
    let response = server.put("a", &wrong.to_string(), OCI_MANIFEST, &manifest).await;
    assert_eq!(code(response).await, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_blob_above_the_limit_is_refused_and_thrown_away() {
    let server = Server::with(Arc::new(Open), |settings| {
        settings.max_blob = 4;
        settings.max_manifest = 64;
    })
    .await;
    let digest = Digest::of(b"12345");
    let response =
        server.call(Method::POST, &format!("a/blobs/uploads/?digest={digest}"), &[], "12345").await;
    assert_eq!(response.status(), 413);
    assert_eq!((server.files("blobs"), server.files("uploads")), (0, 0));
    let response = server.put("a", "v1", OCI_MANIFEST, &json!({"x": "y".repeat(100)})).await;
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn a_manifest_that_names_what_is_missing_is_refused() {
    let server = Server::open().await;
    let manifest = server.image_parts("elsewhere", "one").await;
    let response = server.put("a", "v1", OCI_MANIFEST, &manifest).await;
    assert_eq!(response.status(), 400);
    assert_eq!(code(response).await, "MANIFEST_BLOB_UNKNOWN");
    let index = index_of(&[(Digest::of(b"nothing"), 3)]);
    assert_eq!(code(server.put("a", "v1", OCI_INDEX, &index).await).await, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(server.status(Method::GET, "a/tags/list").await, 404);
    assert!(server.heard.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let server = Server::open().await;
    let good = server.image_parts("a", "one").await;
    for (content_type, body) in [
        (OCI_MANIFEST, json!("text")),
        (OCI_MANIFEST, json!({"schemaVersion": 1})),
        (OCI_INDEX, good.clone()),
        ("text/html", json!({"schemaVersion": 2})),
        (OCI_MANIFEST, json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []})),
    ] {
        let response = server.put("a", "v1", content_type, &body).await;
        assert_eq!(response.status(), 400, "{content_type} {body}");
        assert_eq!(code(response).await, "MANIFEST_INVALID");
    }
}

#[tokio::test]
async fn a_tag_is_told_when_it_is_written_and_only_then() {
    let server = Server::open().await;
    let manifest = server.image_parts("shop/web", "one").await;
    let digest = digest_of(&manifest);
    assert_eq!(server.put("shop/web", &digest.to_string(), OCI_MANIFEST, &manifest).await.status(), 201);
    assert!(server.heard.0.lock().unwrap().is_empty(), "no tag was written");
    assert_eq!(server.put("shop/web", "v1", OCI_MANIFEST, &manifest).await.status(), 201);
    let told = TagWritten { repository: "shop/web".into(), tag: Tag::new("v1").unwrap(), digest };
    assert_eq!(*server.heard.0.lock().unwrap(), [told]);
}

#[tokio::test]
async fn a_mount_needs_the_right_to_read_its_source() {
    let mut server = Server::guarded().await;
    server.token = Some(TOKEN);
    let digest = server.blob("secret/a", b"secret").await;
    let open = server.blob("other/a", b"open").await;
    let mount = async |server: &Server, digest: Digest, from: &str| {
        let path = format!("mine/a/blobs/uploads/?mount={digest}&from={from}");
        server.call(Method::POST, &path, &[], "").await
    };
    server.token = Some("reader");
    assert_eq!(mount(&server, digest, "secret/a").await.status(), 202, "an upload begins instead");
    assert_eq!(server.status(Method::HEAD, &format!("mine/a/blobs/{digest}")).await, 404);
    let mounted = mount(&server, open, "other/a").await;
    assert_eq!(
        (mounted.status().as_u16(), header(&mounted, "location")),
        (201, format!("/v2/mine/a/blobs/{open}"))
    );
    assert_eq!(server.get(&format!("mine/a/blobs/{open}")).await.text().await.unwrap(), "open");
    assert_eq!(
        mount(&server, Digest::of(b"x"), "other/a").await.status(),
        202,
        "the source does not have it"
    );
}

#[tokio::test]
async fn nobody_acts_without_a_token_and_a_reader_only_reads() {
    let mut server = Server::guarded().await;
    for path in ["", "a/tags/list"] {
        let response = server.get(path).await;
        assert_eq!(response.status(), 401);
        assert!(header(&response, "www-authenticate").starts_with("Basic realm=\"dhow\""));
    }
    assert_eq!(server.status(Method::POST, "a/blobs/uploads/").await, 401);
    assert_eq!(server.status(Method::GET, "public/a/tags/list").await, 404, "anonymous may read here");
    let login = server.http.get(format!("http://{}/v2/", server.address)).basic_auth("anyone", Some(TOKEN));
    assert_eq!(login.send().await.unwrap().status(), 200);
    let broken = server.call(Method::GET, "public/a/tags/list", &[("authorization", "Basic ???")], "").await;
    assert_eq!(broken.status(), 401);
    server.token = Some("reader");
    let response = server.call(Method::POST, "a/blobs/uploads/", &[], "").await;
    assert_eq!(response.status(), 403);
    assert_eq!(code(response).await, "DENIED");
    assert_eq!(server.status(Method::GET, "a/tags/list").await, 404);
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let server = Server::open().await;
    let location = start(&server).await;
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    assert_eq!(server.status(Method::GET, &elsewhere).await, 404);
    assert_eq!(server.status(Method::GET, &location).await, 204);
}

#[tokio::test]
async fn an_upload_that_ended_cannot_be_written_to() {
    let server = Server::open().await;
    let location = start(&server).await;
    let digest = Digest::of(b"good");
    assert_eq!(
        server.call(Method::PUT, &format!("{location}?digest={digest}"), &[], "good").await.status(),
        201
    );
    assert_eq!(server.call(Method::PATCH, &location, &[], "evil").await.status(), 404);
    assert_eq!(server.get(&format!("a/blobs/{digest}")).await.text().await.unwrap(), "good");
}

#[tokio::test]
async fn too_many_open_uploads_are_refused_until_some_end() {
    let server = Server::with(Arc::new(Open), |settings| settings.max_uploads = 1).await;
    let location = start(&server).await;
    let response = server.call(Method::POST, "a/blobs/uploads/", &[], "").await;
    assert_eq!((response.status().as_u16(), code(response).await.as_str()), (429, "TOOMANYREQUESTS"));
    assert_eq!(server.status(Method::DELETE, &location).await, 204);
    start(&server).await;
}
