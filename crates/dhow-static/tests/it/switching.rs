use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dhow_static::ServeOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{Server, files, hash, id};
use crate::http::{HOST, get};

/// Big enough that it is streamed from disk.
fn page(version: char) -> String {
    version.to_string().repeat(200_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_no_body_is_mixed_while_releases_switch() {
    let server = Server::start(&[("index.html", "1"), ("big", &page('1'))], ServeOptions::default()).await;
    let done = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = ["/", "/big"]
        .map(|path| {
            let (done, address) = (done.clone(), server.address);
            tokio::spawn(async move {
                let mut answers = 0;
                while !done.load(Ordering::Relaxed) {
                    let answer = get(address, path, "").await;
                    assert_eq!(answer.status, 200);
                    let first = answer.body[0];
                    assert!(answer.body.iter().all(|b| *b == first), "a body mixes two releases");
                    assert!(answer.body.len() == 1 || answer.body.len() == 200_000);
                    answers += 1;
                }
                answers
            })
        })
        .into();
    for version in "23456789".chars() {
        let name = version.to_string();
        let content = files(&[("index.html", &name), ("big", &page(version))]);
        let live = server.load(&name, content, ServeOptions::default()).await;
        server.releases.switch(&id(), hash(&name)).await.unwrap();
        server.sites.set_live(live).unwrap();
        assert_eq!(
            get(server.address, "/", "").await.text(),
            name,
            "a switch was not seen by the next request"
        );
    }
    done.store(true, Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_running_answer_ends_with_the_release_that_it_began_with() {
    let long = "1".repeat(30 << 20);
    let server = Server::start(&[("big", &long)], ServeOptions::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /big HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut body = vec![0; 1000];
    stream.read_exact(&mut body).await.unwrap();
    let live = server.load("2", files(&[("big", "2")]), ServeOptions::default()).await;
    server.releases.switch(&id(), hash("2")).await.unwrap();
    server.sites.set_live(live).unwrap();
    server.releases.prune(&id(), &[]).await.unwrap();
    stream.read_to_end(&mut body).await.unwrap();
    assert!(body.len() > long.len() && body[1000..].iter().all(|b| *b == b'1'));
}

#[tokio::test]
async fn a_stop_lets_a_running_request_end() {
    let long = "1".repeat(30 << 20);
    let server = Server::start(&[("big", &long)], ServeOptions::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let idle = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("GET /big HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
    let mut body = vec![0; 1000];
    stream.read_exact(&mut body).await.unwrap();
    server.stop.cancel();
    stream.read_to_end(&mut body).await.unwrap();
    assert!(body.len() > long.len());
    server.task.await.unwrap();
    drop(idle);
}
