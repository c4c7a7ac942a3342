use std::os::unix::fs::PermissionsExt;

use dhow_static::{Candidate, ServeOptions};
use tokio::net::UnixStream;

use crate::fixture::{Server, files};
use crate::http::{exchange, get};

#[tokio::test]
async fn a_candidate_answers_on_its_socket_and_never_on_the_public_listener() {
    let server = Server::start(&[("index.html", "one")], ServeOptions::default()).await;
    let next = server.load("2", files(&[("index.html", "two"), ("new", "x")]), ServeOptions::default()).await;
    let dir = server.dir.path().join("c");
    let candidate = Candidate::start(next, &dir).await.unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir.as_path()), mode(candidate.path())), (0o700, 0o600));
    let stream = UnixStream::connect(candidate.path()).await.unwrap();
    let answer = exchange(stream, "GET / HTTP/1.1\r\nHost: shop.stage.localhost\r\n").await;
    assert_eq!((answer.status, answer.text()), (200, "two"));
    assert_eq!(get(server.address, "/", "").await.text(), "one");
    assert_eq!(get(server.address, "/new", "").await.status, 404);
    let path = candidate.path().to_owned();
    candidate.stop().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn dropping_a_candidate_removes_its_socket() {
    let server = Server::start(&[("index.html", "one")], ServeOptions::default()).await;
    let next = server.load("2", files(&[("a", "two")]), ServeOptions::default()).await;
    let candidate = Candidate::start(next, &server.dir.path().join("c")).await.unwrap();
    let path = candidate.path().to_owned();
    drop(candidate);
    assert!(!path.exists());
}

#[tokio::test]
async fn sockets_of_a_crashed_process_are_cleaned_and_long_folders_explained() {
    let server = Server::start(&[("index.html", "one")], ServeOptions::default()).await;
    let dir = server.dir.path().join("c");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("left.sock"), "").unwrap();
    Candidate::clean(&dir).unwrap();
    Candidate::clean(&dir.join("none")).unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    let next = server.load("2", files(&[("a", "two")]), ServeOptions::default()).await;
    let error = Candidate::start(next, &dir.join("x".repeat(90))).await.unwrap_err();
    assert!(error.to_string().contains("shorter path"), "{error}");
}
