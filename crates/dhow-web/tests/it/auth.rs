use axum::body::Body;
use dhow_web::Role;
use http::{StatusCode, header};

use crate::fixture::{Api, read, request};

const SCOPE: &str = "shop/stage";

/// Method, path, body, and the roles that may.
fn matrix() -> Vec<(&'static str, String, &'static str, Vec<Role>)> {
    use Role::{Admin, Approver, Deployer, Reader};
    let all = vec![Reader, Deployer, Approver, Admin];
    let deploy = vec![Deployer, Admin];
    let approve = vec![Approver, Admin];
    let mut rows = Vec::new();
    for path in
        ["status", "history", "plan/shop/stage", "quarantine", "events", "processes", "logs/shop/stage"]
    {
        rows.push(("GET", path.to_owned(), "", all.clone()));
    }
    for verb in ["promote", "rollback", "resume", "sync"] {
        rows.push(("POST", format!("{verb}/{SCOPE}"), "", deploy.clone()));
    }
    rows.push(("POST", format!("exec/{SCOPE}"), r#"{"argv": ["true"]}"#, vec![Admin]));
    for verb in ["approve", "reject"] {
        rows.push(("POST", format!("{verb}/{SCOPE}"), "", approve.clone()));
    }
    let quarantine =
        r#"{"service": "shop", "environment": "stage", "reference": "ghcr.io/a/b:v1", "reason": "bad"}"#;
    rows.push(("POST", "quarantine".into(), quarantine, deploy.clone()));
    let key = "quarantine?service=shop&environment=stage&reference=ghcr.io/a/b:v1";
    rows.push(("DELETE", key.into(), "", deploy));
    rows.push(("DELETE", "debts?server=web1".into(), "", vec![Admin]));
    rows.push(("GET", "tokens".into(), "", vec![Admin]));
    rows.push(("POST", "tokens".into(), r#"{"name": "new", "role": "reader"}"#, vec![Admin]));
    rows.push(("DELETE", "tokens?name=new".into(), "", vec![Admin]));
    rows
}

#[tokio::test]
async fn each_role_may_do_its_own_work_and_no_other() {
    let api = Api::new();
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, api.token(role).await));
    }
    for (method, path, body, allowed) in matrix() {
        for (role, token) in &tokens {
            let builder = request(token, method, &format!("/api/v1/{path}"));
            let response = api.send(builder.body(Body::from(body)).unwrap()).await;
            let asked = api.asked();
            if allowed.contains(role) {
                assert!(response.status().is_success(), "{role} {method} {path}: {}", response.status());
            } else {
                let (status, answer) = read(response).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{role} {method} {path}");
                let message = answer["error"]["message"].as_str().unwrap();
                let needed = allowed[0].as_str();
                assert!(message.contains(needed), "{role} {method} {path}: {message}");
                assert!(asked.is_empty(), "{role} {method} {path} reached the engine: {asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_route_of_the_document_is_closed_without_a_token_and_tested_by_role() {
    let api = Api::new();
    let (_, document) = api.call("", "GET", "/api/v1/openapi.json", "").await;
    let tested: Vec<_> = matrix()
        .into_iter()
        .map(|(method, path, ..)| {
            let path = path.split('?').next().unwrap().replace(SCOPE, "{service}/{environment}");
            (method.to_lowercase(), format!("/api/v1/{path}"))
        })
        .collect();
    let mut routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation.get("security").is_some() {
                continue;
            }
            routes += 1;
            assert!(
                tested.contains(&(method.clone(), path.clone())),
                "{method} {path} has no line in the matrix"
            );
            let real = path.replace("{service}/{environment}", SCOPE);
            let (status, answer) = api.call("", &method.to_uppercase(), &real, "").await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(
                answer["error"]["message"].as_str().unwrap().contains("Authorization: Bearer"),
                "{answer}"
            );
        }
    }
    assert_eq!(routes, tested.len());
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn a_token_counts_in_the_authorization_header_only() {
    let api = Api::new();
    let token = api.token(Role::Admin).await;
    for path in [format!("status?token={token}"), format!("status?access_token={token}")] {
        let (status, _) = api.call("", "GET", &format!("/api/v1/{path}"), "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for value in [token.clone(), format!("Basic {token}"), format!("Bearer x{token}"), "Bearer ".into()] {
        let builder = request("", "GET", "/api/v1/status").header(header::AUTHORIZATION, &value);
        let response = api.send(builder.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{value}");
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
    let twice =
        request(&token, "GET", "/api/v1/status").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = api.send(twice.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(api.call(&token, "GET", "/api/v1/status", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_engine_is_told_the_person_of_the_token() {
    let api = Api::new();
    let new =
        api.tokens.add("ci".parse().unwrap(), Role::Approver, Some("alice".parse().unwrap())).await.unwrap();
    let secret = secrecy::ExposeSecret::expose_secret(&new.secret).to_owned();
    api.call(&secret, "POST", "/api/v1/approve/shop/production", r#"{"id": "p1"}"#).await;
    assert_eq!(api.asked(), ["approve shop/production by alice Some(\"p1\")"]);
}

#[tokio::test]
async fn health_and_readiness_need_no_token() {
    let api = Api::new();
    assert_eq!(api.call("", "GET", "/healthz", "").await.0, StatusCode::OK);
    assert_eq!(api.call("", "GET", "/readyz", "").await.0, StatusCode::OK);
    *api.engine.ready.lock().unwrap() = false;
    assert_eq!(api.call("", "GET", "/healthz", "").await.0, StatusCode::OK);
    let (status, body) = api.call("", "GET", "/readyz", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.to_string().contains("the fleet is in the fog"), "{body:?}");
}
