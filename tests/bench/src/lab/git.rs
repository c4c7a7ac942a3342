//! Git's own HTTP server program, behind ours.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// One request of the smart protocol, by `git http-backend` (git-http-backend(1)).
pub async fn answer(
    root: &Path,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response<Body>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = Command::new("git")
        .args(["-c", "http.receivepack=true", "-c", "gc.auto=0", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", "bench")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let sent = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await?;
    drop(sent.await);
    let Some(end) = output.stdout.windows(4).position(|four| four == b"\r\n\r\n") else {
        bail!("git http-backend printed no head");
    };
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output.stdout[..end])?.lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or("500")),
            _ => response.header(name, value),
        };
    }
    Ok(response.body(Body::from(Bytes::from(output.stdout).slice(end + 4..)))?)
}
