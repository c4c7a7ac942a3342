use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use dhow_core::noun::Digest;
use futures::StreamExt as _;
use reqwest::{Body, Method, Response, StatusCode};

use super::{Scenario, gated, site};
use crate::world::World;

/// A push to the embedded registry that is cut off.
///
/// 1: in the midst of the content, and it goes on from there; 2: when the content is there and its name is not.
pub struct Upload;

/// What is pushed: much more than fits into a buffer on the way.
const SIZE: usize = 4 << 20;

#[async_trait]
impl Scenario for Upload {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn fleet(&self) -> Vec<(String, String)> {
        gated(&["shop"])
    }

    async fn prepare(&self, world: &World) -> Result<()> {
        world.carry("shop", "1.0.0").await
    }

    fn own_deaths(&self) -> u64 {
        2
    }

    async fn act(&self, world: &World) -> Result<()> {
        let content: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
        let digest = Digest::of(&content);
        let begun = ask(world, Method::POST, "/v2/shop/web/blobs/uploads/", Body::default()).await?;
        let place = begun.headers()["location"].to_str()?.to_owned();
        let place = place.split_once("/v2/").map_or(place.clone(), |(_, rest)| format!("/v2/{rest}"));
        let mut there = 0;
        if world.own == Some(1) {
            let half = content[..SIZE / 2].to_vec();
            let never = futures::stream::pending::<std::io::Result<Vec<u8>>>();
            let body = Body::wrap_stream(futures::stream::iter([Ok(half)]).chain(never));
            let sending = ask(world, Method::PATCH, &place, body);
            tokio::select! {
                answer = sending => drop(answer.context("half of a body was answered")?),
                grown = grows(world) => grown?,
            }
            world.keeper.kill().await;
            let state = ask(world, Method::GET, &place, Body::default()).await?;
            let range = state.headers()["range"].to_str()?.to_owned();
            there = range.split_once('-').context("a range")?.1.parse::<usize>()? + 1;
            ensure!(there > 1 && there <= SIZE / 2, "{there} bytes are there, and {} were sent", SIZE / 2);
        }
        let rest = Body::from(content[there..].to_vec());
        ask(world, Method::PATCH, &place, rest).await?;
        let separator = if place.contains('?') { '&' } else { '?' };
        ask(world, Method::PUT, &format!("{place}{separator}digest={digest}"), Body::default()).await?;
        if world.own == Some(2) {
            world.keeper.kill().await;
        }
        let blob = ask(world, Method::GET, &format!("/v2/shop/web/blobs/{digest}"), Body::default()).await?;
        ensure!(blob.bytes().await? == content, "the content is not what was pushed");
        world.publish(&site("shop 2.0.0"), "shop/web:2.0.0").await?;
        world.reaches("shop", "stage", "2.0.0").await?;
        world.approve("shop", "production").await?;
        world.reaches("shop", "production", "2.0.0").await
    }
}

async fn ask(world: &World, method: Method, path: &str, body: Body) -> Result<Response> {
    let door = world.keeper.door(world.lab.patience).await?;
    let request = world.http.request(method, format!("http://{}{path}", door.api)).body(body);
    let answer = request.basic_auth("ci", Some(world.admin()?)).send().await?;
    let good = answer.status().is_success() || answer.status() == StatusCode::ACCEPTED;
    ensure!(good, "{path}: {}", answer.status());
    Ok(answer)
}

/// Waits until some of the content is on disk.
async fn grows(world: &World) -> Result<()> {
    let folder = world.state().join("registry");
    let written = |path: &Path| largest(path).unwrap_or(0) > 1 << 16;
    world.becomes("an upload grows", || written(&folder.join("uploads"))).await
}

fn largest(folder: &Path) -> std::io::Result<u64> {
    let mut largest = 0;
    for entry in std::fs::read_dir(folder)? {
        largest = largest.max(entry?.metadata()?.len());
    }
    Ok(largest)
}
