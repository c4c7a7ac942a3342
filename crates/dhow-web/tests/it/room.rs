//! What runs, what it writes, and commands inside.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use dhow_web::Role;
use dhow_web::shape::{ExecEntry, LogEntry};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::fixture::{Api, request};

async fn get(api: &Api, token: &str, path: &str) -> Response<Body> {
    api.send(request(token, "GET", path).body(Body::empty()).unwrap()).await
}

/// The next piece of a body; none where it ended.
async fn next(response: &mut Response<Body>) -> Option<String> {
    let frame = response.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn lines_come_one_document_each_and_what_was_asked_reaches_the_engine() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let path = "/api/v1/logs/shop/stage?lines=7&type=compose&server=web1&container=web";
    let response = get(&api, &token, path).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let lines: Vec<LogEntry> = bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    let first: Value = serde_json::to_value(&lines[0]).unwrap();
    assert_eq!(
        (&first["kind"], &first["text"], &first["place"]),
        (&"line".into(), &"one".into(), &"local".into())
    );
    let asked = api.asked().remove(0);
    for word in ["logs shop/stage", "Compose", "web1", "lines: 7", "follow: false"] {
        assert!(asked.contains(word), "{asked}");
    }
}

#[tokio::test]
async fn what_is_behind_followed_lines_ends_when_the_client_goes() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = get(&api, &token, "/api/v1/logs/shop/stage?follow=true").await;
    assert!(next(&mut response).await.unwrap().contains("one"));
    assert_eq!(Arc::strong_count(&api.engine.followers), 2);
    drop(response);
    assert_eq!(Arc::strong_count(&api.engine.followers), 1);
}

#[tokio::test(start_paused = true)]
async fn followed_lines_end_with_the_token_and_give_signs_of_life_before() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = get(&api, &token, "/api/v1/logs/shop/stage?follow=true").await;
    for text in ["one", "two"] {
        assert!(next(&mut response).await.unwrap().contains(text));
    }
    assert_eq!(next(&mut response).await.as_deref(), Some("\n"));
    api.tokens.remove("reader".parse().unwrap()).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), next(&mut response)).await.unwrap(), None);
}

#[tokio::test]
async fn followed_lines_end_when_dhow_stops() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let mut response = get(&api, &token, "/api/v1/logs/shop/stage?follow=true").await;
    assert!(next(&mut response).await.is_some());
    api.shutdown.cancel();
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn a_command_has_its_bytes_and_its_code_and_the_engine_is_told_who_asks() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    let body = r#"{"argv": ["sh", "-c", "x"], "stdin": "aGVsbG8=", "container": "web", "seconds": 5}"#;
    let post = request(&token, "POST", "/api/v1/exec/shop/stage").body(Body::from(body)).unwrap();
    let bytes = api.send(post).await.into_body().collect().await.unwrap().to_bytes();
    let lines: Vec<ExecEntry> = bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines[0], ExecEntry::Began { container: "web-1".into() });
    assert_eq!(lines[1].bytes().unwrap().1, [0, 255, 10]);
    assert_eq!(lines[2], ExecEntry::Ended { code: 3 });
    let asked = api.asked().remove(0);
    for word in ["exec shop/stage by admin", "hello", "limit: 5s"] {
        assert!(asked.contains(word), "{asked}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_command_is_refused_and_reaches_nobody() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    let many = format!(r#"{{"argv": [{}"x"]}}"#, r#""x","#.repeat(300));
    for (method, path, body, word) in [
        ("POST", "exec/shop/stage", r#"{"argv": []}"#, "needs a program"),
        ("POST", "exec/shop/stage", r#"{"argv": [""]}"#, "needs a program"),
        ("POST", "exec/shop/stage", r#"{"argv": "ls"}"#, "expected a sequence"),
        ("POST", "exec/shop/stage", r#"{"argv": ["a\u0000b"]}"#, "zero byte"),
        ("POST", "exec/shop/stage", &many, "301 words"),
        ("POST", "exec/shop/stage", r#"{"argv": ["x"], "stdin": "%"}"#, "no base64"),
        ("POST", "exec/shop/stage", r#"{"argv": ["x"], "seconds": 999999}"#, "1 to 3600"),
        ("POST", "exec/shop/stage", r#"{"argv": ["x"], "container": "../x"}"#, "can name no container"),
        ("GET", "logs/shop/stage?lines=99999", "", "0 to 10000"),
        ("GET", "logs/shop/stage?container=-f", "", "can name no container"),
        ("GET", "logs/shop/stage?server=a%2Fb", "", "server name"),
        ("GET", "logs/shop/stage?type=nothing", "", "nothing"),
        ("GET", "processes?sevice=x", "", "unknown field"),
    ] {
        let (status, answer) = api.call(&token, method, &format!("/api/v1/{path}"), body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{method} {path} {body}: {message}");
    }
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn the_number_of_commands_at_once_is_limited() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    let mut open = Vec::new();
    loop {
        let body = Body::from(r#"{"argv": ["x"]}"#);
        let response = api.send(request(&token, "POST", "/api/v1/exec/shop/stage").body(body).unwrap()).await;
        if response.status() != StatusCode::OK {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            break;
        }
        open.push(response);
        assert!(open.len() <= 64, "there is no limit");
    }
    drop(open);
    let body = Body::from(r#"{"argv": ["x"]}"#);
    let response = api.send(request(&token, "POST", "/api/v1/exec/shop/stage").body(body).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
}
