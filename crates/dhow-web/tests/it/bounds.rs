use axum::body::Body;
use dhow_web::{ControlError, Role};
use http::StatusCode;

use crate::fixture::{Api, request};

#[tokio::test]
async fn an_error_of_the_engine_has_its_status_and_its_own_words() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    for (error, status, code) in [
        (ControlError::Refused("a window is closed".into()), StatusCode::CONFLICT, "refused"),
        (ControlError::NotFound("no service shop".into()), StatusCode::NOT_FOUND, "not_found"),
        (ControlError::Failed("the disk is full".into()), StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    ] {
        *api.engine.error.lock().unwrap() = Some(error.clone());
        let (got, answer) = api.call(&token, "POST", "/api/v1/promote/shop/production", "").await;
        assert_eq!(got, status);
        assert_eq!(answer["error"]["code"], code);
        assert_eq!(answer["error"]["message"], error.to_string());
    }
}

#[tokio::test]
async fn a_body_above_64_kib_is_refused_and_reaches_nobody() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    let large = format!(r#"{{"reason": "{}"}}"#, "x".repeat(64 << 10));
    let (status, answer) = api.call(&token, "POST", "/api/v1/reject/shop/stage", &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer["error"]["code"], "too_large");
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(2_001));
    assert_eq!(api.call(&token, "POST", "/api/v1/reject/shop/stage", &long).await.0, StatusCode::BAD_REQUEST);
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn input_that_is_not_as_it_should_be_is_refused_with_what_is_wrong() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    for (method, path, body, word) in [
        ("POST", "promote/shop/a%3Bb", "", "';'"),
        ("POST", "promote/..%2F..%2Fetc/stage", "", "service name"),
        ("POST", "rollback/shop/stage", "{\"too\": \"v1\"}", "unknown field `too`"),
        ("POST", "rollback/shop/stage", "v1", "line 1"),
        ("POST", "tokens", "{\"name\": \"x\", \"role\": \"root\"}", "unknown variant `root`"),
        ("POST", "tokens", "{\"name\": \"a b\", \"role\": \"reader\"}", "cannot name a token"),
        ("POST", "tokens", "", "missing field `name`"),
        ("GET", "status?servce=shop", "", "unknown field `servce`"),
        ("GET", "history?limit=0", "", "1 to 1000"),
        ("GET", "history?limit=5000", "", "1 to 1000"),
    ] {
        let (status, answer) = api.call(&token, method, &format!("/api/v1/{path}"), body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{method} {path}: {message}");
    }
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_json() {
    let api = Api::new();
    let (status, answer) = api.call("", "GET", "/api/v1/nothing", "").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    let (status, answer) = api.call("", "PUT", "/api/v1/status", "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_defect_answers_500_and_the_next_request_is_served() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    for (method, path) in [("POST", "sync/defect/stage"), ("GET", "quarantine?service=defect")] {
        let (status, answer) = api.call(&token, method, &format!("/api/v1/{path}"), "").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!answer.to_string().contains("of the engine"), "{answer}");
    }
    assert_eq!(api.call(&token, "POST", "/api/v1/sync/shop/stage", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_answer_is_never_kept_by_a_cache_and_has_the_id_of_its_request() {
    let api = Api::new();
    let token = api.token(Role::Reader).await;
    let builder = request(&token, "GET", "/api/v1/status").header("x-request-id", "mine");
    let response = api.send(builder.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn a_rollback_goes_to_the_release_before_where_nothing_is_said() {
    let api = Api::new();
    let token = api.token(Role::Deployer).await;
    for body in ["", "{}", r#"{"to": null}"#, r#"{"to": "v1"}"#] {
        api.call(&token, "POST", "/api/v1/rollback/shop/stage", body).await;
    }
    let previous = "rollback shop/stage by deployer Previous";
    let version = "rollback shop/stage by deployer Version(\"v1\")";
    assert_eq!(api.asked(), [previous, previous, previous, version]);
}
