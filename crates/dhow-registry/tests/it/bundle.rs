//! A folder goes up and comes down again.

use dhow_core::noun::{ImageReference, SourceLabels};
use dhow_registry::bundle::{PublishError, publish};
use dhow_registry::client::{Client, Credentials, ErrorKind};

use crate::support::{Server, TOKEN, settings};

fn site(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), text).unwrap();
    folder
}

#[tokio::test]
async fn a_published_folder_comes_back_with_its_labels() {
    let server = Server::open().await;
    let (client, folder) = (server.client(), site("<h1>one"));
    let to: ImageReference = format!("{}/shop/web:1", server.address).parse().unwrap();
    let labels = SourceLabels {
        source: Some("https://git/shop".into()),
        revision: Some("abc".into()),
        ..Default::default()
    };
    let version = publish(&client, folder.path(), &to, &labels).await.unwrap();
    let again = publish(&client, folder.path(), &to, &labels).await.unwrap();
    assert_eq!(version, again, "the same files have the same digest");

    let seen = client.version(&to.repository, to.tag.as_ref().unwrap()).await.unwrap();
    assert_eq!(seen, version);
    let (layer, stream) = client.fetch_bundle(&version.pin()).await.unwrap();
    let bytes = stream.read_all(1 << 20).await.unwrap();
    assert_eq!(bytes.len() as u64, layer.size);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(std::io::read_to_string(&mut entry).unwrap(), "<h1>one");
}

#[tokio::test]
async fn an_image_is_no_bundle_and_the_message_says_what_to_do() {
    let server = Server::open().await;
    server.image("a", "v1", "one").await;
    let client = server.client();
    let reference: ImageReference = format!("{}/a:v1", server.address).parse().unwrap();
    let mut pin = client.resolve(&reference).await.unwrap().pin();
    assert!(client.fetch_bundle(&pin).await.is_ok(), "one tar layer will do");
    let child = server.image("a", "v3", "three").await;
    let index = crate::support::index_of(&[(child, 10)]);
    assert_eq!(server.put("a", "index", dhow_registry::media::OCI_INDEX, &index).await.status(), 201);
    pin.digest = crate::support::digest_of(&index);
    let error = client.fetch_bundle(&pin).await.unwrap_err();
    assert!(error.to_string().contains("dhow publish"), "{error}");
    pin.digest = dhow_core::noun::Digest::of(b"none");
    let error = client.fetch_bundle(&pin).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotFound), "{error}");
}

#[tokio::test]
async fn publishing_needs_a_tag() {
    let server = Server::open().await;
    let to: ImageReference = format!("{}/shop/web", server.address).parse().unwrap();
    let error = publish(&server.client(), site("x").path(), &to, &SourceLabels::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::Target(_)));
}

#[tokio::test]
async fn a_dhow_token_opens_a_dhow_and_goes_nowhere_else() {
    let server = Server::guarded().await;
    let to: ImageReference = format!("{}/shop/web:1", server.address).parse().unwrap();
    let token = Some(Credentials::Dhow(TOKEN.to_owned().into()));
    let client = Client::new(settings(&server.address, token.clone()));
    publish(&client, site("x").path(), &to, &SourceLabels::default()).await.unwrap();

    let other = crate::fake::Fake::answering(|_| {
        crate::fake::reply(401, &[("www-authenticate", "Basic realm=\"other\"")], "")
    })
    .await;
    let client = Client::new(settings(&other.address, token));
    let error = client.tags(&other.repository("a")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unauthorized(_)), "{error}");
    assert!(other.seen().iter().all(|request| request.authorization.is_none()));
}
