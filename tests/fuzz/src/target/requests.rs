//! Requests as text, sent to a router one after another.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::text;

/// A runtime for one input.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The requests of an input: `METHOD path`, headers, an empty line, the body.
pub(super) fn read(data: &[u8]) -> Vec<Request<Body>> {
    text::parts(data).into_iter().take(12).filter_map(request).collect()
}

fn request(part: &[u8]) -> Option<Request<Body>> {
    let end = part.windows(2).position(|window| window == b"\n\n");
    let (head, body) = end.map_or((part, &part[part.len()..]), |end| (&part[..end], &part[end + 2..]));
    let mut lines = head.split(|b| *b == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, path) = line.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    }) {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).ok()
}

/// Sends one. No input is a defect of ours, and every answer ends.
pub(super) async fn send(router: &Router, request: Request<Body>) -> (StatusCode, http::HeaderMap) {
    let shown = format!("{} {}", request.method(), request.uri());
    let answer = tokio::time::timeout(Duration::from_secs(10), router.clone().oneshot(request)).await;
    let Ok(Ok(answer)) = answer else { panic!("{shown} is not answered") };
    let (parts, body) = Response::into_parts(answer);
    assert!(!parts.status.is_server_error(), "{shown} is answered with {}", parts.status);
    // What follows events goes on for ever.
    let follows = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    if !follows {
        let read = tokio::time::timeout(Duration::from_secs(10), body.collect()).await;
        assert!(read.is_ok_and(|body| body.is_ok()), "the answer to {shown} does not end");
    }
    (parts.status, parts.headers)
}
