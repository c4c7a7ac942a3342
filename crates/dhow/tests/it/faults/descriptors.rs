//! File descriptors run out.

use tokio::net::TcpStream;

use super::{HOST, fleet, page, told_in_the_log};
use crate::support::site;
use crate::support::visitors::Visitors;

#[tokio::test]
async fn connections_that_take_every_descriptor_are_told_and_visitors_who_are_there_are_served() {
    let fleet = fleet().await;
    let serve = fleet.serve().under(&["prlimit", "--nofile=200:200"]).start().await;
    serve.publish(&site("one"), "shop/web:1.0.0").await.ok();
    serve.reaches("shop", "stage", "1.0.0").await;
    let visitors = Visitors::kept(&serve, HOST);
    visitors.answered(1).await;
    let mut idle = Vec::new();
    for address in [&serve.sites, &serve.api] {
        for _ in 0..120 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
    }
    for listener in ["the sites", "the API and the registry"] {
        let words = format!("all 50 connections to {listener} are taken; more wait to be accepted");
        told_in_the_log(&serve, &words).await;
    }
    let before = visitors.so_far().answered;
    visitors.answered(before + 50).await;
    // What comes meanwhile has descriptors of its own, for Git, files and checks.
    fleet.push("a page", &[("services/page/static_file/stage/index.html", "<h1>page</h1>\n")]).await;
    assert!(!serve.said().contains("Too many open files"), "{}", serve.said());
    drop(idle);
    serve.until("status?service=page", |s| s["deployments"][0]["health"] == "healthy").await;
    serve.publish(&site("two"), "shop/web:2.0.0").await.ok();
    serve.reaches("shop", "stage", "2.0.0").await;
    visitors.saw_only(&[&page("one"), &page("two")]).await;
}
